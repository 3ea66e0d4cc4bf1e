//! What a step may see and touch: the argument list of bubblewrap, and a probe that it works here.
//!
//! The list is a pure function of the step and of how the machine lays out its system folders.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::options::SandboxChoice;
use super::recipe::{Network, Step};
use super::run::{self, Ended, Exit, Program, StopBy};
use crate::mask::SecretText;

/// Where a step finds the code.
pub const BUILD_FOLDER: &str = "/build";
/// The one `PATH` of every program that is started; the agent's own is not passed on.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Besides `/usr`: on most systems links into it, on others folders of their own.
const SYSTEM_FOLDERS: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// What programs need of `/etc`: where libraries and chosen alternatives are, how services and times are called, and
/// whom to trust. Users, hosts, mounts and keys stay out; `passwd` and its like are our own.
const ETC_SHOWN: &[&str] = &[
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "protocols",
    "services",
    "localtime",
    "mime.types",
    "ssl/certs",
    "ssl/cert.pem",
    "ssl/openssl.cnf",
    "pki/tls/certs",
    "pki/tls/cert.pem",
    "pki/ca-trust/extracted",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "debian_version",
    "os-release",
];
/// What a step with network needs as well, to find hosts by name.
const ETC_OF_NETWORK: &[&str] = &["resolv.conf", "host.conf", "gai.conf"];
/// Our own files of `/etc`: one user, one host, nothing of the machine's.
pub const ETC_OWN: &[(&str, &str)] = &[
    ("passwd", "build:x:1000:1000::/tmp:/bin/sh\n"),
    ("group", "build:x:1000:\n"),
    ("hosts", "127.0.0.1 localhost build\n::1 localhost build\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

/// How steps are confined on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// In bubblewrap.
    Bubblewrap(Bubblewrap),
    /// In nothing.
    Off,
}

/// A bubblewrap that was seen to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bubblewrap {
    /// Whether it can forbid further user namespaces (0.8 can), which much of the kernel's attack surface is behind.
    forbids_namespaces: bool,
    system_folders: Vec<SystemFolder>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SystemFolder {
    Link { target: PathBuf, at: &'static str },
    Folder(&'static str),
}

/// What one step is run with.
#[derive(Clone, Copy, Debug)]
pub struct Confined<'a> {
    /// The clone, which is writable.
    pub code: &'a Path,
    /// Where the files of [`ETC_OWN`] are.
    pub etc: &'a Path,
    /// The recipe's.
    pub environment: &'a std::collections::BTreeMap<String, String>,
    /// What to run.
    pub step: &'a Step,
    /// The variables of the secrets that the step names.
    pub secrets: &'a [(String, SecretText)],
    /// What it may read besides the system's folders, at the same places.
    pub readable: &'a [PathBuf],
    /// The file that is its stdin.
    pub input: Option<&'a Path>,
}

impl Sandbox {
    /// The program that runs a step.
    pub fn program(&self, confined: Confined<'_>) -> Program {
        match self {
            Self::Bubblewrap(bubblewrap) => Program {
                argv: bubblewrap.arguments(confined),
                environment: vec![("PATH".into(), PATH.into())],
                secrets: confined.secrets.to_vec(),
                folder: confined.code.to_owned(),
                input: confined.input.map(Path::to_owned),
                stop_by: StopBy::ChildrensGroups,
                memory_bytes_max: None,
            },
            Self::Off => Program {
                argv: confined.step.run.iter().map(OsString::from).collect(),
                environment: environment(confined).collect(),
                secrets: confined.secrets.to_vec(),
                folder: confined.code.to_owned(),
                input: confined.input.map(Path::to_owned),
                stop_by: StopBy::OwnGroup,
                memory_bytes_max: None,
            },
        }
    }
}

/// What a step finds in its environment: ours first, so a recipe may choose another `PATH`.
fn environment(confined: Confined<'_>) -> impl Iterator<Item = (String, String)> {
    let fixed =
        [("PATH", PATH), ("HOME", "/tmp"), ("TMPDIR", "/tmp"), ("LANG", "C.UTF-8"), ("USER", "build")];
    let chosen = confined.environment.iter().map(|(name, value)| (name.clone(), value.clone()));
    fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).chain(chosen)
}

impl Bubblewrap {
    fn arguments(&self, confined: Confined<'_>) -> Vec<OsString> {
        let mut list = List(vec!["bwrap".into()]);
        self.namespaces(&mut list, confined.step.network);
        self.file_system(&mut list, confined);
        // Every user of the machine sees arguments, so secrets come by inheritance: bubblewrap's own environment is PATH and
        // they, whose names no library or program acts upon.
        if confined.secrets.is_empty() {
            list.add(["--clearenv"]);
        }
        // By argument: in bubblewrap's own environment, an LD_PRELOAD of the recipe would work outside the sandbox.
        environment(confined).for_each(|(name, value)| list.add(["--setenv", &name, &value]));
        list.add(["--chdir", BUILD_FOLDER, "--"]);
        confined.step.run.iter().for_each(|argument| list.add([argument.as_str()]));
        list.0
    }

    fn namespaces(&self, list: &mut List, network: Network) {
        list.add([
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]);
        if network == Network::None {
            list.add(["--unshare-net"]);
        }
        if self.forbids_namespaces {
            list.add(["--disable-userns"]);
        }
        list.add(["--uid", "1000", "--gid", "1000", "--hostname", "build", "--cap-drop", "ALL"]);
        list.add(["--die-with-parent", "--new-session"]);
    }

    fn file_system(&self, list: &mut List, confined: Confined<'_>) {
        list.add(["--ro-bind", "/usr", "/usr"]);
        for folder in &self.system_folders {
            match folder {
                SystemFolder::Link { target, at } => {
                    list.add([OsString::from("--symlink"), target.into(), at.into()])
                }
                SystemFolder::Folder(at) => list.add(["--ro-bind", at, at]),
            }
        }
        list.add(["--dir", "/etc"]);
        let of_network = if confined.step.network == Network::Host { ETC_OF_NETWORK } else { &[] };
        for name in ETC_SHOWN.iter().chain(of_network) {
            list.add(["--ro-bind-try", &format!("/etc/{name}"), &format!("/etc/{name}")]);
        }
        for (name, _) in ETC_OWN {
            list.add([
                OsString::from("--ro-bind"),
                confined.etc.join(name).into(),
                format!("/etc/{name}").into(),
            ]);
        }
        // Read-only: an agent that runs as root would otherwise give its steps /proc/sys/kernel/core_pattern, whose
        // owner may write it without any capability, and which names a program that the kernel runs as root.
        list.add(["--proc", "/proc", "--remount-ro", "/proc"]);
        list.add(["--dev", "/dev", "--tmpfs", "/tmp", "--symlink", "/tmp", "/var/tmp"]);
        for path in confined.readable {
            list.add([OsString::from("--ro-bind"), path.into(), path.into()]);
        }
        list.add([OsString::from("--bind"), confined.code.into(), BUILD_FOLDER.into()]);
        list.add(["--remount-ro", "/"]);
    }
}

struct List(Vec<OsString>);

impl List {
    fn add<A: Into<OsString>, const N: usize>(&mut self, arguments: [A; N]) {
        self.0.extend(arguments.map(Into::into));
    }
}

/// Finds out how steps are confined here.
///
/// # Errors
/// A sandbox is wanted and does not work; the message says what to do.
pub async fn probe(choice: SandboxChoice) -> anyhow::Result<Sandbox> {
    if choice == SandboxChoice::Off {
        tracing::warn!(
            "THE SANDBOX IS OFF: every step runs as this user and can read its files, this agent's token among them; \
             use this only for code that you would run yourself"
        );
        return Ok(Sandbox::Off);
    }
    if rustix::process::geteuid().is_root() {
        tracing::warn!("the agent runs as root; a user of its own would leave less behind the sandbox");
    }
    let mut said = String::new();
    for forbids_namespaces in [true, false] {
        let bubblewrap = Bubblewrap { forbids_namespaces, system_folders: system_folders() };
        match try_out(&bubblewrap).await {
            Ok(()) => return Ok(Sandbox::Bubblewrap(bubblewrap)),
            Err(why) => said = why,
        }
    }
    anyhow::bail!(
        "bubblewrap does not work here: {said}. Install it (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install \
         bubblewrap) and allow user namespaces without privileges (on Ubuntu 24.04, an AppArmor profile for bwrap), or \
         start the agent with --sandbox=off if you trust all that it will build"
    )
}

/// Runs `true` as a step would be, in an empty folder.
async fn try_out(bubblewrap: &Bubblewrap) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    write_etc(folder.path()).map_err(|error| format!("no temporary folder: {error}"))?;
    let step = Step {
        name: "probe".into(),
        run: vec!["true".into()],
        network: Network::None,
        timeout: None,
        secrets: Vec::new(),
    };
    let confined = Confined {
        code: folder.path(),
        etc: folder.path(),
        environment: &Default::default(),
        step: &step,
        secrets: &[],
        readable: &[],
        input: None,
    };
    let program = Sandbox::Bubblewrap(bubblewrap.clone()).program(confined);
    let mut said = Vec::new();
    let mut hear = |bytes: &[u8]| {
        said.extend_from_slice(&bytes[..bytes.len().min(run::SAID_BYTES_MAX.saturating_sub(said.len()))]);
        Ok(())
    };
    let late = tokio::time::sleep(std::time::Duration::from_secs(10));
    match run::run(&program, &mut hear, late).await {
        Ok(Ended::Exited(Exit::Code(0))) => Ok(()),
        Ok(Ended::Exited(exit)) => Err(format!("{exit}, {}", String::from_utf8_lossy(&said).trim())),
        Ok(Ended::Halted(())) => Err("it does not come to an end".to_owned()),
        Err(error) => Err(format!("bwrap cannot be started: {error}")),
    }
}

/// Writes the files of [`ETC_OWN`].
pub fn write_etc(folder: &Path) -> std::io::Result<()> {
    ETC_OWN.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
}

fn system_folders() -> Vec<SystemFolder> {
    let known = |at: &&'static str| match std::fs::symlink_metadata(at) {
        Ok(meta) if meta.is_symlink() => {
            Some(SystemFolder::Link { target: std::fs::read_link(at).ok()?, at })
        }
        Ok(meta) if meta.is_dir() => Some(SystemFolder::Folder(at)),
        _ => None,
    };
    SYSTEM_FOLDERS.iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn arguments(network: Network) -> Vec<String> {
        let environment = BTreeMap::from([("LD_PRELOAD".to_owned(), "/build/evil.so".to_owned())]);
        let step = Step {
            name: "a".into(),
            run: vec!["--bind".into(), "x".into()],
            network,
            timeout: None,
            secrets: Vec::new(),
        };
        let folders =
            vec![SystemFolder::Link { target: "usr/bin".into(), at: "/bin" }, SystemFolder::Folder("/lib")];
        let sandbox = Sandbox::Bubblewrap(Bubblewrap { forbids_namespaces: true, system_folders: folders });
        let program = sandbox.program(Confined {
            code: Path::new("/srv/agent/job-1/code"),
            etc: Path::new("/srv/agent/job-1/etc"),
            environment: &environment,
            step: &step,
            secrets: &[],
            readable: &["/opt/tools".into()],
            input: None,
        });
        assert_eq!(
            program.environment,
            [("PATH".to_owned(), PATH.to_owned())],
            "bubblewrap itself gets nothing else"
        );
        program.argv.into_iter().map(|argument| argument.into_string().unwrap()).collect()
    }

    #[test]
    fn a_step_is_confined_in_every_way_and_its_own_words_are_never_options() {
        let list = arguments(Network::None);
        let text = list.join(" ");
        for part in [
            "--unshare-user --unshare-pid --unshare-ipc --unshare-uts",
            "--unshare-net",
            "--disable-userns",
            "--cap-drop ALL",
            "--die-with-parent --new-session",
            "--ro-bind /usr /usr --symlink usr/bin /bin --ro-bind /lib /lib",
            "--proc /proc --remount-ro /proc",
            "--tmpfs /tmp",
            "--bind /srv/agent/job-1/code /build --remount-ro /",
            "--clearenv --setenv PATH",
            "--setenv HOME /tmp",
            "--setenv LD_PRELOAD /build/evil.so",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(text.ends_with("--chdir /build -- --bind x"), "{text}");
        assert_eq!(
            list.iter().filter(|argument| *argument == "--bind").count(),
            2,
            "ours and the step's word"
        );
        assert!(!text.contains("resolv.conf"));
    }

    #[test]
    fn a_step_that_asks_for_network_gets_it_and_names_of_hosts() {
        let text = arguments(Network::Host).join(" ");
        assert!(!text.contains("--unshare-net") && text.contains("/etc/resolv.conf"), "{text}");
    }

    #[test]
    fn a_secret_is_inherited_and_in_no_argument_and_is_not_shown() {
        let secrets = [("MRX_SECRET_LLM".to_owned(), SecretText::from("canary-value".to_owned()))];
        let step = Step {
            name: "a".into(),
            run: vec!["true".into()],
            network: Network::None,
            timeout: None,
            secrets: vec!["llm".parse().unwrap()],
        };
        for sandbox in [
            Sandbox::Bubblewrap(Bubblewrap { forbids_namespaces: true, system_folders: Vec::new() }),
            Sandbox::Off,
        ] {
            let (code, environment) = (Path::new("/srv/code"), BTreeMap::new());
            let confined = Confined {
                code,
                etc: code,
                environment: &environment,
                step: &step,
                secrets: &secrets,
                readable: &[],
                input: None,
            };
            let program = sandbox.program(confined);
            assert_eq!(program.secrets[0].1.reveal(), "canary-value");
            assert!(!format!("{program:?}").contains("canary"), "{program:?}");
            assert!(!program.argv.iter().any(|argument| argument == "--clearenv"));
        }
    }

    #[tokio::test]
    async fn bubblewrap_works_here() {
        let sandbox = probe(SandboxChoice::Bubblewrap).await.expect("these tests need bubblewrap");
        assert!(matches!(sandbox, Sandbox::Bubblewrap(_)));
    }
}
