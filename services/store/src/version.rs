//! Whether the server is new enough. An older one takes some statements and misreads others: it is refused before the first.

use crate::{Store, StoreError, error::within, settings::PING_WAIT};

/// The oldest ClickHouse that this program works with: year and month of its release.
pub const OLDEST: (u32, u32) = (26, 3);
/// What is repeated of a version that cannot be read, characters.
const REPEATED: usize = 40;

impl Store {
    /// Asks the server for its version and refuses one that is too old, with where it is and what to do.
    pub async fn check_version(&self) -> Result<(), StoreError> {
        let read = async { self.client.query("SELECT version()").fetch_bytes("TabSeparated")?.collect().await };
        let answer = within(PING_WAIT, read).await?;
        judge(&self.address, String::from_utf8_lossy(&answer).trim())
    }
}

fn judge(address: &str, version: &str) -> Result<(), StoreError> {
    let (year, month) = OLDEST;
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(found_year)), Some(Ok(found_month))) = (numbers.next(), numbers.next()) else {
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ' ');
        let said: String = version.chars().filter(plain).take(REPEATED).collect();
        return Err(StoreError::incompatible(format!(
            "what answers at {address} names no version of ClickHouse (it says \"{said}\"): check store.url"
        )));
    };
    if (found_year, found_month) < OLDEST {
        return Err(StoreError::incompatible(format!(
            "the ClickHouse at {address} is {found_year}.{found_month}, and {year}.{month} is the oldest that is supported: upgrade it, \
             name another one in store.url, or leave store.url out for the embedded engine"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_server_is_refused_with_where_it_is_and_what_to_do() {
        let told = |version: &str| judge("http://ch:8123", version).map_err(|error| error.to_string());
        for good in ["26.3.1.1", "26.3", "26.12.4.9", "27.1.2.3", "100.1"] {
            assert_eq!(told(good), Ok(()), "{good}");
        }
        for (old, named) in [("26.2.9.9", "26.2"), ("25.12.1.1", "25.12"), ("9.27.3", "9.27")] {
            let error = told(old).unwrap_err();
            assert!(error.contains(&format!("at http://ch:8123 is {named}, and 26.3 is the oldest")), "{error}");
            assert!(error.contains("upgrade it") && error.contains("store.url"), "{error}");
        }
        for none in ["", "welcome", "26", "26.x", "<b>no</b>\u{1b}[31m"] {
            let error = told(none).unwrap_err();
            assert!(error.contains("names no version") && !error.contains(['<', '\u{1b}']), "{error}");
        }
    }
}
