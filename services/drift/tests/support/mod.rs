//! Facts that several suites begin with.

use drift::{
    Facts,
    facts::{Product, Source},
};

pub const HOUR: i64 = 3_600_000;

fn source(id: &str, product: Product) -> Source {
    Source { id: id.into(), product, proven: true, first: Some(0), token_life: HOUR }
}

/// Both sources heard from the beginning, nothing missing, everything ripe.
pub fn facts() -> Facts {
    Facts {
        now: 100 * HOUR,
        ripe: 100 * HOUR,
        correlated: true,
        sources: vec![source("kc", Product::Keycloak), source("bs", Product::Backstage)],
        ..Facts::default()
    }
}
