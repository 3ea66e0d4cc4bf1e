//! Runs one step of a recipe in its sandbox, and frames what it says in the log.

use std::io;

use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::halt::{Alarm, Halt};
use super::job_client::{Failure, FailureCode};
use super::recipe::Step;
use super::run::{self, Ended, Exit};
use super::sandbox::{Confined, Sandbox};
use super::spool::Spool;

/// A longer command is shown by its beginning.
const SHOWN_CHARS_MAX: usize = 500;
/// bubblewrap reports a step that a signal ended as a shell does: 128 and the signal.
const SIGNALLED_BASE: i32 = 128;
/// The highest signal of Linux.
const SIGNAL_MAX: i32 = 64;

/// How a step ended, as the job's result tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepResult {
    pub name: String,
    pub exit_code: i32,
    pub seconds: f64,
}

/// Runs the step of `confined`; it succeeded only if its exit is code 0.
///
/// # Errors
/// It cannot be started, or its log cannot be kept.
pub async fn run(
    sandbox: &Sandbox,
    confined: Confined<'_>,
    spool: &Spool,
    alarm: Alarm,
) -> io::Result<(Ended<Halt>, f64)> {
    let step = confined.step;
    spool.line(&format!("== {}: {}", step.name, shown(&step.run))).map_err(io::Error::other)?;
    let start = Instant::now();
    let mut keep = |bytes: &[u8]| spool.write(bytes).map_err(io::Error::other);
    let program = sandbox.program(confined);
    let ended = match run::run(&program, &mut keep, alarm.rung_in_step(step.timeout)).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => not_found(spool, step)?,
        ended => ended?,
    };
    let seconds = (start.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let said = match &ended {
        Ended::Exited(exit) => format!("{exit} in {seconds:.1} s"),
        Ended::Halted(halt) => format!("stopped after {seconds:.1} s: {halt}"),
    };
    spool.line(&format!("== {}: {said}", step.name)).map_err(io::Error::other)?;
    Ok((ended, seconds))
}

/// Without a sandbox, a program that does not exist is the step's failure, with a shell's exit code for it.
fn not_found(spool: &Spool, step: &Step) -> io::Result<Ended<Halt>> {
    spool.line(&format!("{}: no such program", shown(&step.run[..1]))).map_err(io::Error::other)?;
    Ok(Ended::Exited(Exit::Code(127)))
}

/// The failure of a step that did not exit with 0.
pub fn failure(step: &Step, exit: Exit) -> Failure {
    let (said, details) = match exit {
        Exit::Code(code) => {
            let signal = code - SIGNALLED_BASE;
            let hint = if (1..=SIGNAL_MAX).contains(&signal) {
                format!(", as after signal {signal}")
            } else {
                String::new()
            };
            (format!("exited with {code}{hint}"), json!({"step": step.name, "exitCode": code}))
        }
        Exit::Signal(signal) => {
            (format!("was ended by signal {signal}"), json!({"step": step.name, "signal": signal}))
        }
    };
    Failure { code: FailureCode::StepFailed, message: format!("step {} {said}", step.name), details }
}

/// A command as a person would type it; control characters do not reach the log from here.
fn shown(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c);
    let word = |argument: &String| {
        if !argument.is_empty() && argument.chars().all(plain) {
            argument.clone()
        } else {
            format!("{argument:?}")
        }
    };
    let text = argv.iter().map(word).collect::<Vec<_>>().join(" ");
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    text.chars().take(SHOWN_CHARS_MAX).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::recipe::Network;

    #[test]
    fn a_command_is_shown_on_one_line() {
        let argv = |words: &[&str]| shown(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(argv(&["make", "all"]), "make all");
        assert_eq!(argv(&["sh", "-c", "a\nb \x1b[1m", ""]), r#"sh -c "a\nb \u{1b}[1m" """#);
        assert!(argv(&[&"x".repeat(5000)]).len() < 600);
    }

    #[test]
    fn a_failure_tells_the_step_and_how_it_ended() {
        let step = Step {
            name: "compile".into(),
            run: vec!["make".into()],
            network: Network::None,
            timeout: None,
            secrets: Vec::new(),
        };
        let told = |exit| serde_json::to_value(failure(&step, exit)).unwrap();
        let expected = json!({"code": "stepFailed", "message": "step compile exited with 2", "details": {"step": "compile", "exitCode": 2}});
        assert_eq!(told(Exit::Code(2)), expected);
        assert_eq!(told(Exit::Code(139))["message"], "step compile exited with 139, as after signal 11");
        assert_eq!(told(Exit::Signal(9))["details"], json!({"step": "compile", "signal": 9}));
    }
}
