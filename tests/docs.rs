//! The shell sessions of the documents are run as they stand there, and print what they say they print.
//!
//! A block marked `console` is a session: lines behind `$ ` are run by one bash, the lines below each are what it
//! prints, with `…` for whatever differs from run to run. All blocks of a document are one session.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command and the lines below it.
struct Step {
    command: String,
    expected: String,
}

fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match line.strip_prefix("$ ") {
            _ if line.starts_with("```") => inside = line == "```console",
            Some(command) if inside => {
                steps.push(Step { command: command.to_owned(), expected: String::new() })
            }
            None if inside => {
                let step = steps.last_mut().expect("a session begins with a command");
                step.expected.push_str(line);
                step.expected.push('\n');
            }
            _ => {}
        }
    }
    steps
}

/// Whether `printed` is `expected`, where `…` stands for anything.
fn fits(expected: &str, printed: &str) -> bool {
    let mut rest = printed;
    let mut parts = expected.trim_end().split('…');
    let Some(after_first) = parts.next().and_then(|first| rest.strip_prefix(first)) else { return false };
    rest = after_first;
    parts.all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

const MARK: &str = "==== step ";

#[expect(
    clippy::disallowed_methods,
    reason = "a session in the documents is run by a shell, as its reader would"
)]
fn run(folder: &Path, steps: &[Step]) -> Vec<String> {
    let free_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut script = String::from("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n");
    for (number, step) in steps.iter().enumerate() {
        let command = step.command.replace("8421", &free_port.to_string());
        script.push_str(&format!("echo '{MARK}{number}'\n{command}\n"));
        if step.expected.is_empty() {
            script.push_str("echo\n");
        }
    }
    let program = Path::new(env!("CARGO_BIN_EXE_mrx")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output = Command::new("timeout")
        .args(["120", "bash", "-c", &script])
        .current_dir(folder)
        .env("PATH", path)
        .env("HOME", folder)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("MRX_SERVER")
        .env_remove("MRX_TOKEN")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).replace(&format!(":{free_port}"), ":8421");
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    printed
        .split(MARK)
        .skip(1)
        .map(|part| part.split_once('\n').map_or("", |(_, text)| text).to_owned())
        .collect()
}

fn check(document: &str) {
    let steps = steps(document);
    assert!(steps.len() > 10, "the document has a session");
    let folder = tempfile::tempdir().unwrap();
    let printed = run(folder.path(), &steps);
    for (step, printed) in steps.iter().zip(&printed) {
        if !step.expected.is_empty() {
            assert!(
                fits(&step.expected, printed),
                "$ {}\nexpected:\n{}\nprinted:\n{printed}",
                step.command,
                step.expected
            );
        }
    }
}

#[test]
fn the_readmes_session_does_what_it_says() {
    check(include_str!("../README.md"));
}

#[test]
fn the_command_lines_session_does_what_it_says() {
    check(include_str!("../docs/cli.md"));
}

#[test]
fn what_coding_agents_are_told_to_do_works() {
    check(include_str!("../AGENTS.md"));
}

#[test]
fn what_the_page_about_git_says_works() {
    check(include_str!("../docs/git.md"));
}
