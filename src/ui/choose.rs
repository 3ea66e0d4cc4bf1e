//! Which file a request for a page gets, in which coding, and how long a browser may keep it. Knows nothing of disks and handlers.

use super::assets::{Asset, Assets};

/// The page that every address of the dashboard begins with.
const INDEX: &str = "index.html";
/// The folder whose files have a hash of their content in their name.
const HASHED: &str = "assets/";

/// How a file is compressed on its way (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Plain,
    /// `br`
    Brotli,
    /// `gzip`
    Gzip,
}

impl Coding {
    /// The word for it in `Content-Encoding`, if it needs one.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Coding::Plain => None,
            Coding::Brotli => Some("br"),
            Coding::Gzip => Some("gzip"),
        }
    }
}

/// What becomes of a request.
pub enum Choice<'a> {
    /// This file.
    File(Chosen<'a>),
    /// The caller has the file in this version already.
    Unchanged(Chosen<'a>),
    /// There is no such file.
    Missing,
    /// Nobody has built the dashboard.
    NotBuilt,
}

/// A file in a coding.
pub struct Chosen<'a> {
    /// The file.
    pub asset: &'a Asset,
    /// In which coding it is sent.
    pub coding: Coding,
    /// Its name may be kept for ever: other content has another name.
    pub is_immutable: bool,
}

impl Chosen<'_> {
    /// What tells these bytes from all others, for a strong `ETag`: each coding has its own.
    pub fn version(&self) -> String {
        match self.coding.word() {
            None => self.asset.sha256.clone(),
            Some(word) => format!("{}-{word}", self.asset.sha256),
        }
    }
}

/// Decides what a request for `path` gets. An address that is no file is one of the dashboard's own, which its first page shows.
pub fn choose<'a>(assets: &'a Assets, path: &str, accepts: &str, known: &str) -> Choice<'a> {
    let Some(index) = assets.find(INDEX) else { return Choice::NotBuilt };
    let is_immutable = path.starts_with(HASHED);
    let asset = match assets.find(path) {
        Some(asset) => asset,
        None if is_immutable => return Choice::Missing,
        None => index,
    };
    let coding = asset.codings().find(|coding| accepted(accepts, *coding)).unwrap_or(Coding::Plain);
    let chosen = Chosen { asset, coding, is_immutable };
    if names(known, &chosen.version()) { Choice::Unchanged(chosen) } else { Choice::File(chosen) }
}

/// Whether `Accept-Encoding` allows a coding by its name; `q=0` forbids it (RFC 9110 §12.5.3).
fn accepted(accepts: &str, coding: Coding) -> bool {
    let Some(word) = coding.word() else { return true };
    accepts.split(',').any(|part| {
        let mut parts = part.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(word));
        let weight = parts.find_map(|parameter| parameter.strip_prefix("q=")).unwrap_or("1");
        is_named && weight.parse::<f32>().is_ok_and(|weight| weight > 0.0)
    })
}

/// Whether `If-None-Match` names a version (RFC 9110 §13.1.2).
fn names(known: &str, version: &str) -> bool {
    known.split(',').map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) == Some(version)
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn assets() -> Assets {
        let files = [
            ("index.html", "<html>"),
            ("index.html.br", "b"),
            ("index.html.gz", "g"),
            ("assets/main-1a2b.js", "let a"),
            ("favicon.svg", "<svg>"),
        ];
        Assets::of(
            files.into_iter().map(|(path, text)| (path.to_owned(), Cow::Borrowed(text.as_bytes()))).collect(),
        )
    }

    fn said(path: &str, accepts: &str, known: &str) -> String {
        let assets = assets();
        match choose(&assets, path, accepts, known) {
            Choice::File(chosen) => {
                let text = String::from_utf8_lossy(chosen.asset.bytes(chosen.coding)).into_owned();
                format!("{text} {:?} immutable={}", chosen.coding, chosen.is_immutable)
            }
            Choice::Unchanged(_) => "unchanged".to_owned(),
            Choice::Missing => "missing".to_owned(),
            Choice::NotBuilt => "not built".to_owned(),
        }
    }

    #[test]
    fn a_deep_link_gets_the_first_page_and_a_missing_asset_does_not() {
        for path in ["", "projects/mrx-hello", "projects/mrx.odd/jobs/job-1", "../Cargo.toml"] {
            assert_eq!(said(path, "", ""), "<html> Plain immutable=false", "{path}");
        }
        assert_eq!(said("assets/main-1a2b.js", "", ""), "let a Plain immutable=true");
        assert_eq!(said("assets/main-0000.js", "", ""), "missing");
        assert_eq!(said("favicon.svg", "", ""), "<svg> Plain immutable=false");
    }

    #[test]
    fn the_smallest_coding_that_the_caller_accepts_is_sent() {
        for (accepts, coding) in [
            ("gzip, deflate, br, zstd", "b Brotli"),
            ("gzip", "g Gzip"),
            ("br;q=0, GZIP;q=0.5", "g Gzip"),
            ("br;q=odd", "<html> Plain"),
            ("*", "<html> Plain"),
        ] {
            assert_eq!(said("", accepts, ""), format!("{coding} immutable=false"), "{accepts}");
        }
        assert_eq!(said("favicon.svg", "br, gzip", ""), "<svg> Plain immutable=false");
    }

    #[test]
    fn a_caller_that_has_the_very_bytes_is_told_so() {
        let all = assets();
        let Choice::File(chosen) = choose(&all, "", "br", "") else { panic!("it is there") };
        let version = chosen.version();
        assert_eq!(said("", "br", &format!("\"other\", \"{version}\"")), "unchanged");
        assert_eq!(said("", "gzip", &format!("\"{version}\"")), "g Gzip immutable=false");
        assert_eq!(said("", "br", &version), "b Brotli immutable=false");
    }

    #[test]
    fn without_a_build_there_is_no_page() {
        let none = Assets::default();
        assert!(matches!(choose(&none, "", "", ""), Choice::NotBuilt));
        assert!(matches!(choose(&none, "assets/a.js", "", ""), Choice::NotBuilt));
    }
}
