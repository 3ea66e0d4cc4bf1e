//! Fetches the code of a job with the git program, into a fresh folder, as a single commit.
//!
//! Neither the machine's git configuration nor hooks nor other helpers take part, and only the transport of the address
//! is allowed. Submodules are not fetched. A host that asks for a credential is given the project's secret `github`, through a pipe.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;

use super::daemon_client::Code;
use super::run::{self, Ended, Exit, Program, SAID_BYTES_MAX, StopBy};
use super::sandbox::PATH;
use super::secrets::JobSecrets;
use crate::mask::SecretText;
use crate::remote::credential::Credential;
use crate::webhook::target;

/// Longer than a shallow fetch of any code that a small team has.
pub const CHECKOUT_MAX: Duration = Duration::from_secs(600);
/// Room for git's indexing of a large pack, and a bound for a hostile one.
const GIT_MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Longer than any address or name of a ref that git hosts give.
const TEXT_BYTES_MAX: usize = 1024;

/// The commands that call the code's host.
const CALLING: [&str; 2] = ["fetch", "push"];

/// Where the code is, checked: nothing in it is an option, another transport or a refspec to git.
#[derive(Clone, Debug)]
pub struct Source {
    url: String,
    protocol: &'static str,
    reference: String,
    /// What its host is shown if it asks.
    token: Option<SecretText>,
}

/// Why the daemon's word on the code is not followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSource {
    #[error("the code's address is not https://, http:// or an absolute path: {0:?}")]
    Address(String),
    #[error("the code's address holds a user or password, which would be seen in the list of processes")]
    Credentials,
    #[error("the code's ref is no branch, tag or commit: {0:?}")]
    Reference(String),
}

impl TryFrom<&Code> for Source {
    type Error = BadSource;
    fn try_from(code: &Code) -> Result<Self, BadSource> {
        let protocol = protocol(&code.url)?;
        if !is_reference(&code.reference) {
            return Err(BadSource::Reference(shortened(&code.reference)));
        }
        Ok(Self { url: code.url.clone(), protocol, reference: code.reference.clone(), token: None })
    }
}

impl Source {
    /// The same, whose host is shown the secret `github` if it asks: over TLS, or within this machine.
    pub fn with_secrets(self, secrets: &JobSecrets) -> Self {
        let name = "github".parse().expect("the name of a secret");
        let token = secrets.get(&name).filter(|_| self.is_private_way()).cloned();
        Self { token, ..self }
    }

    fn is_private_way(&self) -> bool {
        let is_local = |url: &Url| {
            url.host_str().is_some_and(|host| target::literal(host).is_some_and(|ip| ip.is_loopback()))
        };
        self.protocol == "https" || Url::parse(&self.url).is_ok_and(|url| is_local(&url))
    }

    /// The credential for one git that calls the host; `None` if there is none. One that cannot be is said so, and git goes on without.
    fn credential(
        &self,
        output: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> io::Result<Option<Credential>> {
        let Some((token, url)) = self.token.as_ref().zip(Url::parse(&self.url).ok()) else { return Ok(None) };
        match Credential::new(token, &url) {
            Ok(credential) => Ok(Some(credential)),
            Err(error) => {
                output(format!("== git goes on without a credential: {error}\n").as_bytes()).map(|()| None)
            }
        }
    }
}

fn protocol(url: &str) -> Result<&'static str, BadSource> {
    let bad = || BadSource::Address(shortened(url));
    if url.len() > TEXT_BYTES_MAX || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(bad());
    }
    if url.starts_with('/') {
        return Ok("file");
    }
    let parsed = Url::parse(url).map_err(|_| bad())?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(BadSource::Credentials);
    }
    ["https", "http"].into_iter().find(|known| url.starts_with(&format!("{known}://"))).ok_or_else(bad)
}

/// What git-check-ref-format(1) allows, without the signs that begin an option or a forced refspec.
fn is_reference(text: &str) -> bool {
    let refused = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let part_is_good = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    (1..=TEXT_BYTES_MAX).contains(&text.len())
        && !text.starts_with(['-', '+'])
        && !text.contains(refused)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.ends_with('.')
        && text.split('/').all(part_is_good)
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError<H> {
    /// git said no; the last of its words.
    #[error("git {verb} failed ({exit}): {said}")]
    Git { verb: &'static str, exit: Exit, said: String },
    /// git could not be started, or the log not written.
    #[error("git cannot be run")]
    Io(#[from] io::Error),
    /// It was interrupted.
    #[error("the checkout was interrupted")]
    Halted(H),
}

/// Fetches `source` into `folder`, which must not exist, handing on what git says. Returns the commit, 40 hex digits.
pub async fn checkout<H>(
    source: &Source,
    folder: &Path,
    output: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    mut halt: impl Future<Output = H> + Unpin,
) -> Result<String, CheckoutError<H>> {
    std::fs::create_dir(folder)?;
    for (verb, arguments) in commands(source) {
        git(source, folder, (verb, &arguments), output, &mut halt).await?;
    }
    let head = [OsString::from("--verify"), "HEAD^{commit}".into()];
    let said = git(source, folder, ("rev-parse", &head), &mut |_| Ok(()), &mut halt).await?;
    Ok(said.trim().to_owned())
}

/// The git commands in order, each a verb and its arguments. A fetch of one ref takes branches, tags and commits alike,
/// and also from a local path takes a single commit by copy, linked to nothing.
fn commands(source: &Source) -> [(&'static str, Vec<OsString>); 3] {
    let list = |words: &[&str]| words.iter().map(OsString::from).collect();
    let (url, reference) = (source.url.as_str(), source.reference.as_str());
    [
        ("init", list(&["--quiet", "--template=", "--initial-branch=code"])),
        (
            "fetch",
            list(&[
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--no-recurse-submodules",
                "--no-write-commit-graph",
                "--",
                url,
                reference,
            ]),
        ),
        ("checkout", list(&["--quiet", "--detach", "--no-recurse-submodules", "FETCH_HEAD", "--"])),
    ]
}

/// Runs one git command and returns the last of what it said.
pub(super) async fn git<H>(
    source: &Source,
    folder: &Path,
    (verb, arguments): (&'static str, &[OsString]),
    output: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    halt: &mut (impl Future<Output = H> + Unpin),
) -> Result<String, CheckoutError<H>> {
    let credential = if CALLING.contains(&verb) { source.credential(output)? } else { None };
    let mut said = Vec::new();
    let mut hear = |bytes: &[u8]| {
        said.extend_from_slice(bytes);
        said.drain(..said.len().saturating_sub(SAID_BYTES_MAX));
        output(bytes)
    };
    let program = program(source, folder, (verb, arguments), credential.as_ref());
    let ended = run::run(&program, &mut hear, halt).await?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match ended {
        Ended::Exited(Exit::Code(0)) => Ok(said),
        Ended::Exited(exit) => Err(CheckoutError::Git { verb, exit, said }),
        Ended::Halted(why) => Err(CheckoutError::Halted(why)),
    }
}

fn program(
    source: &Source,
    folder: &Path,
    (verb, arguments): (&str, &[OsString]),
    credential: Option<&Credential>,
) -> Program {
    let settings = [
        "core.hooksPath=/dev/null".to_owned(),
        "core.fsmonitor=false".to_owned(),
        "credential.helper=".to_owned(),
        "gc.auto=0".to_owned(),
        "user.name=MrX".to_owned(),
        "user.email=agent@mrx.invalid".to_owned(),
        "maintenance.auto=false".to_owned(),
        "http.followRedirects=false".to_owned(),
        "protocol.allow=never".to_owned(),
        format!("protocol.{}.allow=always", source.protocol),
    ];
    let mut argv: Vec<OsString> = vec!["git".into()];
    settings.into_iter().for_each(|setting| argv.extend(["-c".into(), setting.into()]));
    // Behind the empty helper, which takes away those before it.
    credential.into_iter().for_each(|one| argv.extend(["-c".into(), one.setting().into()]));
    argv.push(verb.into());
    argv.extend_from_slice(arguments);
    let environment = [
        ("PATH", PATH),
        ("HOME", "/nonexistent"),
        ("LC_ALL", "C"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", "/bin/false"),
    ];
    Program {
        argv,
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        secrets: Vec::new(),
        input: None,
        folder: folder.to_owned(),
        stop_by: StopBy::OwnGroup,
        memory_bytes_max: Some(GIT_MEMORY_BYTES_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str, reference: &str) -> Result<Source, BadSource> {
        Source::try_from(&Code { url: url.to_owned(), reference: reference.to_owned() })
    }

    #[test]
    fn only_https_http_and_absolute_paths_are_addresses_of_code() {
        for (good, protocol) in [
            ("https://example.org/a.git", "https"),
            ("http://127.0.0.1:8080/git/a.git", "http"),
            ("/srv/a.git", "file"),
        ] {
            assert_eq!(source(good, "main").unwrap().protocol, protocol);
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c id",
            "file:///srv/a.git",
            "ssh://host/a",
            "git@host:a",
            "../a.git",
            "a.git",
            "https:/x",
            "https://exa mple/",
            "/srv/a\n.git",
            "ssh::https://x",
        ] {
            assert!(matches!(source(bad, "main"), Err(BadSource::Address(_))), "{bad}");
        }
        assert!(matches!(source("https://me:word@example.org/a.git", "main"), Err(BadSource::Credentials)));
    }

    #[test]
    fn the_secret_github_is_for_hosts_over_tls_or_on_this_machine_and_no_other_secret_is() {
        let secrets = |name: &str| -> JobSecrets {
            [(name.parse().unwrap(), SecretText::from("canary-token".to_owned()))].into_iter().collect()
        };
        let shown =
            |url: &str, name: &str| source(url, "main").unwrap().with_secrets(&secrets(name)).token.is_some();
        for url in ["https://example.org/a.git", "http://127.0.0.1:8080/a.git", "http://[::1]/a.git"] {
            assert!(shown(url, "github") && !shown(url, "llm"), "{url}");
        }
        for url in ["http://example.org/a.git", "http://127.0.0.1.example.org/a.git", "/srv/a.git"] {
            assert!(!shown(url, "github"), "{url}");
        }
        let source = source("https://example.org/a.git", "main").unwrap().with_secrets(&secrets("github"));
        assert!(!format!("{source:?}").contains("canary-token"));
    }

    #[test]
    fn a_ref_is_never_an_option_or_a_refspec() {
        for good in ["main", "feature/a-b", "v1.2.3", "refs/tags/v1", &"0123456789".repeat(4)] {
            assert!(source("/a", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "+main",
            "a:b",
            "a b",
            "a..b",
            "a~1",
            "a^",
            "*",
            "a@{1}",
            ".a",
            "a/",
            "a.lock",
            "\u{7f}",
        ] {
            assert!(matches!(source("/a", bad), Err(BadSource::Reference(_))), "{bad}");
        }
    }

    #[test]
    fn git_gets_a_fixed_argument_list_with_the_daemons_words_behind_two_hyphens() {
        let source = source("/srv/a.git", "main").unwrap();
        let [_, (verb, arguments), _] = commands(&source);
        let program = program(&source, Path::new("/w"), (verb, &arguments), None);
        let text: Vec<&str> = program.argv.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(text[..3], ["git", "-c", "core.hooksPath=/dev/null"]);
        assert!(text.ends_with(&["--", "/srv/a.git", "main"]), "{text:?}");
        assert!(
            text.contains(&"protocol.allow=never") && text.contains(&"protocol.file.allow=always"),
            "{text:?}"
        );
        assert!(!text.contains(&"protocol.https.allow=always"));
    }
}
