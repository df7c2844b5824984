//! Why ClickHouse has not been of use since the start, kept for whoever asks: the status, doctor and the readiness of a processor.

use std::sync::{Arc, Mutex, PoisonError};
use store::StoreError;

/// The last error on the way to ClickHouse, until it can be used.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// A try failed.
    pub fn note(&self, error: &anyhow::Error) {
        let refused = error.downcast_ref::<StoreError>().is_none_or(|error| !error.is_unavailable());
        // What does not answer yet may only be starting; what answers and is of no use must be said in full.
        let told = if refused { format!("it cannot be used: {error:#}") } else { format!("{SILENT}: {error:#}") };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }

    /// In words.
    pub fn told(&self) -> String {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        noted.unwrap_or_else(|| SILENT.to_owned())
    }
}

const SILENT: &str = "it has not answered since the start";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_apart_from_what_is_of_no_use() {
        let trouble = Trouble::default();
        assert_eq!(trouble.told(), "it has not answered since the start");
        trouble.note(&StoreError::Unavailable("no connection".into()).into());
        assert_eq!(trouble.told(), "it has not answered since the start: clickhouse is not available: no connection");
        trouble.note(&StoreError::Incompatible("too old".into()).into());
        assert_eq!(trouble.told(), "it cannot be used: clickhouse and this program do not fit: too old");
        trouble.note(&anyhow::anyhow!("no engine"));
        assert_eq!(trouble.told(), "it cannot be used: no engine");
    }
}
