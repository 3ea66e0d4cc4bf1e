//! Which repositories may be remotes, and which of them get the project's credential. Decides only.

use reqwest::Url;

use crate::webhook::target;

/// Why an address is no remote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// The text is none.
    #[error(
        "the address of a remote is https://host/path of a repository, without a user name, password, query or fragment; \
         the credential is the project's secret `github`"
    )]
    NotAnAddress,
    /// It leads into a network that the daemon may be able to reach and its users not.
    #[error(
        "{0} is not an address of the public internet; remotes are nowhere else, unless the daemon runs with --allow-local-remotes"
    )]
    NotPublic(String),
}

/// Reads the address of a remote. Where local ones are allowed, `http` and `file` are too.
pub fn parse(text: &str, allow_local: bool) -> Result<Url, BadAddress> {
    if allow_local && text.starts_with("file:///") {
        let url = Url::parse(text).map_err(|_| BadAddress::NotAnAddress)?;
        // What the parser made plain is another path than the one that was written.
        return if url.as_str() == text && !text.contains('%') {
            Ok(url)
        } else {
            Err(BadAddress::NotAnAddress)
        };
    }
    let url = target::parse(text, allow_local).map_err(|error| match error {
        target::BadTarget::NotAnAddress => BadAddress::NotAnAddress,
        target::BadTarget::NotPublic(host) => BadAddress::NotPublic(host),
    })?;
    let names_a_repository = url.path().len() > 1 && url.query().is_none();
    if names_a_repository { Ok(url) } else { Err(BadAddress::NotAnAddress) }
}

/// Whether this host gets the project's credential: one that the operator has named, over TLS or within the machine.
///
/// A project's manager sets the address, and the secret was stored for a host; so the operator's list, not the address, says
/// where it may go, and a changed address never takes it along to a host that is not in the list.
pub fn gets_credential(url: &Url, hosts: &[String]) -> bool {
    let Some(host) = url.host_str() else { return false };
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => target::literal(host).is_some_and(|ip| ip.is_loopback()),
        _ => false,
    };
    let named = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    is_safe && hosts.iter().any(|known| known.eq_ignore_ascii_case(&named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_is_a_repository_of_the_public_internet_without_a_credential_in_its_address() {
        assert!(parse("https://github.com/acme/state.git", false).is_ok());
        for bad in [
            "https://github.com/",
            "https://me:key@github.com/acme/state.git",
            "https://me@github.com/acme/state.git",
            "https://github.com/acme/state.git?x=1",
            "https://github.com/acme/state.git#x",
            "http://github.com/acme/state.git",
            "ssh://git@github.com/acme/state.git",
            "git@github.com:acme/state.git",
            "ext::sh -c id",
            "--upload-pack=id",
            "file:///srv/state.git",
            "/srv/state.git",
            "https://127.0.0.1/x.git",
            "https://2130706433/x.git",
            "https://[::ffff:10.0.0.1]/x.git",
            "https://metadata/x.git",
        ] {
            assert!(parse(bad, false).is_err(), "{bad}");
        }
        for good in ["file:///srv/state.git", "http://127.0.0.1:8000/x.git", "https://127.0.0.1/x.git"] {
            assert!(parse(good, true).is_ok(), "{good}");
        }
        for bad in ["file://host/x.git", "file:///srv/../etc", "file:///a%2fb", "ext::sh -c id"] {
            assert!(parse(bad, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_credential_goes_to_the_hosts_that_the_operator_named_and_nowhere_else() {
        let hosts = ["github.com".to_owned(), "127.0.0.1:8000".to_owned()];
        let gets = |url: &str| gets_credential(&Url::parse(url).unwrap(), &hosts);
        assert!(gets("https://github.com/a/b.git") && gets("https://GitHub.com/a/b.git"));
        assert!(gets("http://127.0.0.1:8000/b.git"));
        for other in [
            "https://github.com.evil.example/a/b.git",
            "https://evil.example/github.com/b.git",
            "https://github.com:8443/a/b.git",
            "http://github.com/a/b.git",
            "http://127.0.0.1:8001/b.git",
            "file:///github.com/b.git",
        ] {
            assert!(!gets(other), "{other}");
        }
    }
}
