//! What to do about an area that a snapshot could not read, in words that an operator can act on.

use events::snapshot::{AreaEnd, Outcome};

/// What to do about an area that could not be read.
pub fn remedy(area: &AreaEnd) -> String {
    let place = if area.realm.is_empty() { String::new() } else { format!("realm {}, ", area.realm) };
    let what = match area.outcome {
        Outcome::Forbidden if area.realm.is_empty() => {
            format!("let the static token's subject read `{}` (docs/snapshots.md)", area.needs)
        }
        Outcome::Forbidden => format!("give the service account `{}` of client `realm-management`", area.needs),
        Outcome::Unauthorized => "client, secret or token was refused: check them".to_owned(),
        Outcome::RealmMissing => "no realm of this name: check its spelling".to_owned(),
        Outcome::Unstable => "it changed faster than it could be read: raise requests_per_second or page".to_owned(),
        Outcome::TooLarge => "one answer is larger than may be read: lower page".to_owned(),
        Outcome::NotSupported => {
            "another answer than this version knows: check the address and the versions".to_owned()
        }
        Outcome::Interrupted => "it was cut off; the next one reads all of it".to_owned(),
        _ => "the source did not answer: look into its own log".to_owned(),
    };
    format!("{place}{}: {what}", area.area.as_str())
}
