//! The testbed against its own Keycloak: what the story says was done is what Keycloak recorded, and nothing stays behind.

use std::{collections::BTreeMap, net::TcpStream};
use testbed::{Keycloak, KeycloakOptions, keycloak::story};

#[tokio::test]
async fn the_story_is_what_keycloak_recorded() {
    let keycloak = Keycloak::start(KeycloakOptions::default()).await.unwrap();
    let ledger = story::play(&keycloak, "acme").await.unwrap();

    let admin = keycloak.admin();
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for event in admin.events("acme").await.unwrap() {
        *found.entry(event["type"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    for event in admin.admin_events("acme").await.unwrap() {
        let name = format!("{}-{}", event["resourceType"].as_str().unwrap(), event["operationType"].as_str().unwrap());
        *found.entry(name).or_default() += 1;
    }
    let expected: BTreeMap<String, usize> =
        ledger.expected().into_iter().map(|(event, count)| (event.to_owned(), count)).collect();
    assert_eq!(found, expected);

    let address = keycloak.url().replace("http://", "");
    drop(keycloak);
    assert!(TcpStream::connect(address).is_err(), "the server outlived its owner");
}
