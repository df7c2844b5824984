//! Progress: a bar for who waits at a terminal, and not a byte of one in a pipe.

use crate::{
    recorded::sample,
    story::{PERIOD, Story},
};
use testbed::Terminal;

/// What begins every movement on a terminal.
const ESCAPE: char = '\u{1b}';

/// What a command says on standard error, at a terminal or in a pipe; standard output never has a bar.
fn said(story: &Story, args: &[&str], terminal: Option<(Terminal, std::process::Stdio)>) -> String {
    let mut command = story.command(args);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let (terminal, output) = match terminal {
        Some((terminal, end)) => (Some(terminal), command.stderr(end).output().unwrap()),
        None => (None, command.output().unwrap()),
    };
    // It holds the terminal's end.
    drop(command);
    let said = terminal.map_or_else(|| String::from_utf8(output.stderr).unwrap(), Terminal::shown);
    assert!(output.status.code().is_some_and(|code| code < 2), "{args:?}: {said}");
    assert!(!output.stdout.contains(&(ESCAPE as u8)), "{args:?}");
    said
}

pub fn are_for_terminals(story: &Story) {
    let webhooks = sample("keycloak-webhook.ndjson");
    let lines = |name: &str| {
        let path = story.path(name);
        std::fs::write(&path, "{\"level\":\"info\",\"message\":\"x\",\"service\":\"catalog\"}\n".repeat(100)).unwrap();
        path
    };
    let (one, other) = (lines("at-a-terminal.log"), lines("in-a-pipe.log"));
    let send = ["send", "--source", "bs", "--instance", "b1"];
    let import = ["import", "--source", "kc", webhooks.to_str().unwrap()];
    let report = [&["report", "run", "R08"], &PERIOD[..], &["--format", "ndjson"]].concat();
    for (unit, at_a_terminal, in_a_pipe) in [
        ("bytes", [&send[..], &[&one]].concat(), [&send[..], &[&other]].concat()),
        ("entries", import.to_vec(), import.to_vec()),
        ("rows", report.clone(), report),
    ] {
        let shown = said(story, &at_a_terminal, Some(Terminal::open().unwrap()));
        assert!(shown.contains(ESCAPE) && shown.contains(&format!(" {unit}")), "{unit}: {shown:?}");
        let piped = said(story, &in_a_pipe, None);
        assert!(!piped.contains([ESCAPE, '\r']) && !piped.is_empty(), "{unit}: {piped:?}");
    }
}
