//! `tokentrail health`: asks the admin listener of the program that runs on this config whether it is ready.

use crate::{config::Config, running::RunFile};
use anyhow::Context;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// A program that does not answer so long is not well.
const ANSWER: Duration = Duration::from_secs(5);

/// True if it is ready; why not goes to standard error.
pub async fn ask(config: &Config) -> anyhow::Result<bool> {
    let admin = RunFile::read(config).map_or(config.listen.admin, |run| run.admin);
    let http = trust::Trust::system().http(|builder| builder.no_proxy().timeout(ANSWER))?;
    let asked = http.get(format!("http://{}/readyz", reachable(admin))).send().await;
    let answer = asked.context("nothing answers on the admin listener")?;
    let ready = answer.status().is_success();
    if !ready {
        eprintln!("tokentrail: {}", answer.text().await.unwrap_or_default().trim());
    }
    Ok(ready)
}

/// Who listens on every address is reached on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_reached_on_loopback() {
        for (listens, reached) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
            assert_eq!(reachable(listens.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
