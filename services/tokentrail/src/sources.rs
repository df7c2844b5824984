//! Turns the config's sources into the intake's: reads the secret files, makes the ones of a fresh folder.

use crate::{
    config::{Config, Kind, SourceConfig},
    secrets::read_or_make,
};
use collector::config::{BackstageAuth, Basic, BodyBinding, Jwt, JwtKeys, KeycloakAuth, Secret, Source, SourceAuth};
use std::path::PathBuf;

/// Every source that can send something here, with its secrets read. One that is only read from proves nothing to the intake.
pub fn sources(config: &Config) -> anyhow::Result<Vec<Source>> {
    config.sources.iter().filter(|(_, source)| sends(source)).map(|(id, source)| one(config, id, source)).collect()
}

fn sends(source: &SourceConfig) -> bool {
    !source.webhook_secret_files.is_empty()
        || !source.token_files.is_empty()
        || !source.client_certificates.is_empty()
        || source.basic.is_some()
        || source.jwt.is_some()
}

fn one(config: &Config, id: &str, source: &SourceConfig) -> anyhow::Result<Source> {
    let secrets = |files: &[PathBuf]| -> anyhow::Result<Vec<Secret>> {
        files.iter().map(|file| Ok(Secret::new(read_or_make(&config.data_dir, file)?))).collect()
    };
    let bearer = secrets(&source.token_files)?;
    let basic = source
        .basic
        .iter()
        .map(|basic| {
            Ok(Basic {
                user: basic.user.clone(),
                password: Secret::new(read_or_make(&config.data_dir, &basic.password_file)?),
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let kind = match source.kind {
        Kind::Keycloak => SourceAuth::Keycloak(KeycloakAuth {
            hmac: secrets(&source.webhook_secret_files)?,
            bearer,
            basic,
            certificates: source.client_certificates.clone(),
            jwt: source.jwt.as_ref().map(|jwt| Jwt {
                issuer: jwt.issuer.clone(),
                audience: jwt.audience.clone(),
                keys: JwtKeys::Url(jwt.keys_url()),
                body: BodyBinding::Required,
            }),
        }),
        Kind::Backstage => {
            SourceAuth::Backstage(BackstageAuth { bearer, basic, certificates: source.client_certificates.clone() })
        }
    };
    Ok(Source { id: id.to_owned(), kind, zone: source.zone.clone() })
}
