//! The program on a terminal: a pseudo-terminal of 80 columns, driven by Python's `pty`.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use super::{PASSWORD, add_anna};
use crate::world::{HELLO, World};

/// Runs a program on a terminal: types each answer when its question is there and the terminal does not echo any more, as somebody who types
/// at the speed of people; prints all that the terminal shows, and ends as the program does.
const TERMINAL: &str = r#"
import fcntl, json, os, pty, select, struct, sys, termios, time
talk, argv = json.loads(sys.argv[1]), sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    time.sleep(0.2)  # until the size is set
    os.execv(argv[0], argv)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
shown, end = b"", time.monotonic() + 30
while time.monotonic() < end:
    if not select.select([terminal], [], [], 0.1)[0]:
        continue
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    shown += part
    if talk and talk[0][0].encode() in shown:
        while termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < end:
            time.sleep(0.01)
        os.write(terminal, talk.pop(0)[1].encode() + b"\n")
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[expect(clippy::disallowed_methods, reason = "the program is run as a person runs it")]
async fn on_a_terminal(
    world: &World,
    home: &Path,
    environment: &[(&str, &str)],
    talk: &[(&str, &str)],
    arguments: &[&str],
) -> (i32, String) {
    let mut command = Command::new("python3");
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", home)
        .env("TERM", "xterm-256color");
    command.env("MRX_SERVER", world.address()).envs(environment.iter().copied());
    command.args(["-c", TERMINAL, &json!(talk).to_string(), env!("CARGO_BIN_EXE_mrx")]).args(arguments);
    let output = command.current_dir(home).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.expect("these tests need Python 3 as python3: apt-get install python3");
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_terminal_a_password_is_asked_for_and_not_shown() {
    let (world, home) = (World::start().await, tempfile::tempdir().unwrap());
    add_anna(&world).await;
    let talk = [("Password of anna: ", PASSWORD)];
    let (code, shown) = on_a_terminal(&world, home.path(), &[], &talk, &["login", "--name", "anna"]).await;
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("Password of anna: ") && shown.contains("signed in to"), "{shown}");
    assert!(!shown.contains(PASSWORD), "what is typed is not shown: {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_terminal_a_table_fits_into_80_columns_and_what_others_wrote_steers_nothing() {
    let (world, home) = (World::start().await, tempfile::tempdir().unwrap());
    let about =
        "A long description that says in many words what this project is about, and then some more of it";
    let body = json!({ "description": format!("{about}\u{1b}[2J") });
    world.admin().patch(&format!("/projects/{HELLO}")).json(&body).await.expect(200);
    let token = world.admin().token();
    let environment = [("MRX_TOKEN", token.as_str()), ("NO_COLOR", "1")];
    let (code, shown) = on_a_terminal(&world, home.path(), &environment, &[], &["projects"]).await;
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains(HELLO) && shown.contains("DESCRIPTION"), "{shown}");
    let widest = shown.lines().map(|line| line.trim_end().chars().count()).max();
    assert!(widest.is_some_and(|columns| columns <= 80), "{widest:?}\n{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_terminal_the_help_has_styles_unless_no_color_is_set() {
    let (world, home) = (World::start().await, tempfile::tempdir().unwrap());
    let (_, styled) = on_a_terminal(&world, home.path(), &[], &[], &["--help"]).await;
    let (_, plain) = on_a_terminal(&world, home.path(), &[("NO_COLOR", "1")], &[], &["--help"]).await;
    assert!(styled.contains('\u{1b}'), "{styled}");
    assert!(plain.contains("Usage") && !plain.contains('\u{1b}'), "{plain:?}");
}
