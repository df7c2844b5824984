//! HTML and CSV against hostile names: nothing runs, nothing is loaded, nothing computes.

use crate::story::{PERIOD, Story};
use serde_json::json;

/// A username that would be a script in a page, a formula in a spreadsheet and a command in a terminal.
const HOSTILE: &str = "=cmd|'/C calc'!A0; =1+1;@SUM(1)<script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\u{1b}[31m\u{202e}\"'&";

pub fn hold(story: &Story) {
    story.user_event(&json!({
        "id": "00000000-0000-4000-8000-000000000002", "time": 1_795_469_107_000_i64, "realmId": "bd2a3817-883e-4be5-be28-2514d131622e", "realmName": "pair",
        "uid": "a85a96a5-f757-4c37-b528-3b19bffe3ce0", "type": "access.LOGIN",
        "authDetails": {"realmId": "pair", "clientId": "backstage", "userId": "99999999-0000-4000-8000-000000000001", "ipAddress": "127.0.0.1", "username": HOSTILE, "sessionId": "y0PZqul3wrUmcENgkwXbtDBX"},
        "details": {"auth_method": "openid-connect", "auth_type": "code", "code_id": "y0PZqul3wrUmcENgkwXbtDBX", "username": HOSTILE}
    }));
    let page = story.report("R05", &[&PERIOD[..], &["--format", "html"]].concat()).out;
    structure(&page);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "the name is there, as text");
    assert!(page.contains("\\u001B[31m\\u202E") && !page.contains('\u{1b}') && !page.contains('\u{202e}'));
    plain(&page);
    let csv = story.report("R05", &[&PERIOD[..], &["--format", "csv"]].concat()).out;
    assert!(csv.contains(",\"'=cmd|") || csv.contains(",'=cmd|"), "{csv}");
    assert!(!csv.contains('\u{1b}') && csv.lines().all(|line| !line.contains(",=")));
    // A spreadsheet that takes the semicolon for the separator begins a cell behind each of them.
    assert!(csv.contains(";' =1+1;'@SUM(1)"), "{csv}");
    let table = story.report("R05", &PERIOD).out;
    assert!(table.contains("=cmd|") && !table.contains('\u{1b}') && !table.contains('\u{202e}'));
    for name in ["R08", "R11", "R07"] {
        structure(&story.report(name, &[&PERIOD[..], &["--format", "html"]].concat()).out);
    }
    structure(&story.report("R01", &["--as-of", "2026-11-23T21:25:10Z", "--format", "html"]).out);
}

/// The first sheet speaks to whoever signs it: no words of ours for what everybody has a word for.
fn plain(page: &str) {
    let sheet = page.split("id=\"charts\"").next().unwrap();
    assert!(sheet.contains("all inputs read up to") && sheet.contains("rows recomputed from the original messages"));
    assert!(sheet.contains("a random sample with seed 0"));
    for ours in ["watermark", "derived anew", "by lot", "commitments", "trust level", "no better", "history twice"] {
        assert!(!sheet.contains(ours), "{ours}");
    }
}

/// One page that runs nothing, loads nothing and can be read aloud.
fn structure(page: &str) {
    let tags: Vec<&str> = page.split('<').skip(1).map(|rest| rest.split(['>', ' ', '\n']).next().unwrap()).collect();
    for tag in &tags {
        assert!(
            !["script", "img", "link", "iframe", "object", "embed", "base", "form", "a href=\"http"].contains(tag),
            "<{tag}>"
        );
    }
    // Attributes alone, not text: text holds no `<`.
    let attributes: String =
        page.split('<').skip(1).filter_map(|rest| rest.split('>').next()).collect::<Vec<_>>().join("\n").to_lowercase();
    let markup = attributes
        .lines()
        .filter(|line| !line.starts_with("title") && !line.starts_with("/"))
        .collect::<Vec<_>>()
        .join("\n");
    for hostile in [" src=", "url(", "javascript:", " onerror=", " onload=", "http://", "https://", " style="] {
        assert!(!markup.contains(hostile), "{hostile} in the markup");
    }
    assert!(!page.contains("@import") && !page.split("</style>").next().unwrap().contains("url("));
    assert!(page.contains("default-src 'none'"), "a browser is told to load nothing");
    // Everything that was opened is closed.
    for tag in [
        "html", "body", "main", "section", "table", "thead", "tbody", "tr", "td", "th", "figure", "svg", "ul", "li",
        "pre",
    ] {
        let opened = tags.iter().filter(|one| **one == tag).count();
        let closed = tags.iter().filter(|one| one.strip_prefix('/') == Some(tag)).count();
        assert_eq!(opened, closed, "<{tag}>");
    }
    // For a screen reader: language, one first heading, named charts, headers with a scope.
    assert!(page.contains("<html lang=\"en\">") && page.matches("<h1>").count() == 1);
    assert_eq!(page.matches("<svg ").count(), page.matches("role=\"img\" aria-label=\"").count());
    assert_eq!(page.matches("<th").count() - page.matches("<thead").count(), page.matches("scope=\"").count());
    // The sheet comes before charts and rows, and its sign-off is empty.
    let place = |text: &str| page.find(text).unwrap();
    assert!(place("id=\"sheet\"") < place("id=\"charts\"") && place("id=\"charts\"") < place("id=\"rows\""));
    assert!(page.contains("prepared by</th><td></td><td></td><td></td>"));
}
