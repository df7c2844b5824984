//! Errors in three kinds: try again, bad input, does not fit. Never repeats what ClickHouse quotes of the data.

use std::{future::Future, time::Duration};
use trust::Refused;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not now, or the answer was lost: do the same again, it is harmless.
    #[error("clickhouse is not available: {0}")]
    Unavailable(String),
    /// ClickHouse will refuse this input always.
    #[error("clickhouse refused the input: {0}")]
    Rejected(String),
    /// Schema, rights, version or configuration do not fit this program; a person has to act.
    #[error("clickhouse and this program do not fit: {0}")]
    Incompatible(String),
    /// A part would look like the whole: it is refused instead.
    #[error("more than {most} {what} answer this: ask about less (a shorter time, one person, one right)")]
    TooMany {
        /// What the rows are, in the plural.
        what: &'static str,
        /// Most rows of one answer.
        most: u32,
    },
}

/// ClickHouse error codes that pass by themselves (overload, memory, disk, network, shutdown, lost answers).
const PASSING: &[u32] = &[
    3, 48_000, 74, 75, 76, 87, 95, 98, 107, 159, 160, 164, 173, 198, 202, 203, 204, 209, 210, 225, 236, 241, 242, 243,
    246, 252, 254, 279, 285, 286, 298, 305, 319, 335, 341, 344, 364, 373, 394, 410, 415, 425, 439, 473, 492, 518, 519,
    585, 609, 665, 692, 694, 702, 722, 729, 745, 746, 998, 999, 1000, 1001,
];

/// ClickHouse error codes of a schema, rights or settings that are not as this program needs them.
const UNFIT: &[u32] = &[
    8, 10, 16, 20, 36, 44, 46, 47, 48, 50, 53, 57, 60, 62, 63, 80, 81, 82, 115, 192, 193, 194, 195, 218, 344, 392, 446,
    497, 511, 514, 516, 552, 701, 731,
];

impl StoreError {
    /// True if the same call may succeed later without anybody's help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(crate) fn incompatible(text: impl Into<String>) -> Self {
        Self::Incompatible(text.into())
    }
}

impl From<clickhouse::error::Error> for StoreError {
    fn from(error: clickhouse::error::Error) -> Self {
        use clickhouse::error::Error;
        match error {
            Error::BadResponse(text) => from_answer(&text),
            Error::TimedOut => Self::Unavailable("no answer in time".into()),
            // A person has to act: no repetition makes a certificate another one.
            Error::Network(error) => match Refused::find(&*error) {
                Some(refused) => Self::Incompatible(format!("the server is refused: {refused}")),
                None => Self::Unavailable("no connection".into()),
            },
            Error::Decompression(_) | Error::NotEnoughData => Self::Unavailable("the answer broke off".into()),
            Error::SchemaMismatch(_) | Error::InvalidColumnsHeader(_) => {
                Self::Incompatible("the columns are not those of this program".into())
            }
            Error::RowNotFound => Self::Incompatible("an answer had no row".into()),
            Error::InvalidParams(_) => Self::Rejected("a parameter cannot be written".into()),
            Error::Unsupported(_) => Self::Incompatible("the url or a feature is not supported".into()),
            _ => Self::Incompatible("an answer cannot be read".into()),
        }
    }
}

/// Code of an exception text (`Code: 60. DB::Exception: ... (UNKNOWN_TABLE) (version ...)`).
pub(crate) fn code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits[..end].parse().ok()
}

/// The symbolic name: the last parenthesis of capitals and underscores alone.
fn name(text: &str) -> &str {
    text.rsplit('(')
        .filter_map(|part| part.split_once(')'))
        .map(|(inside, _)| inside)
        .find(|inside| {
            !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        })
        .unwrap_or("UNNAMED")
}

fn from_answer(text: &str) -> StoreError {
    let Some(code) = code(text) else {
        // A proxy in between, or an answer cut off: nothing says that the input is bad.
        return StoreError::Unavailable("an answer without an error code".into());
    };
    let what = format!("code {code} {}", name(text));
    if PASSING.contains(&code) {
        StoreError::Unavailable(what)
    } else if UNFIT.contains(&code) {
        StoreError::Incompatible(what)
    } else {
        StoreError::Rejected(what)
    }
}

/// Waits for ClickHouse within a bound.
pub(crate) async fn within<T>(
    bound: Duration,
    work: impl Future<Output = Result<T, clickhouse::error::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(bound, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StoreError::Unavailable("no answer in time".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_and_never_quoted() {
        let text = "Code: 252. DB::Exception: Too many parts (alice@example.org). (TOO_MANY_PARTS) (version 26.3.1.1 (official build))";
        let error = from_answer(text);
        assert!(error.is_unavailable());
        assert_eq!(error.to_string(), "clickhouse is not available: code 252 TOO_MANY_PARTS");
        let table = from_answer("Code: 60. DB::Exception: x. (UNKNOWN_TABLE) (version 1)");
        assert!(matches!(table, StoreError::Incompatible(_)));
        let input = from_answer("Code: 27. DB::Exception: 'secret'. (CANNOT_PARSE_INPUT_ASSERTION_FAILED) (version 1)");
        assert!(matches!(input, StoreError::Rejected(_)) && !input.to_string().contains("secret"));
        assert!(from_answer("<html>502 Bad Gateway</html>").is_unavailable());
    }
}
