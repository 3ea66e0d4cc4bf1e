//! The dashboard's files as `make dashboard` built them: in the binary, or read from `dashboard/dist` by a debug build.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::choose::Coding;

#[derive(RustEmbed)]
#[folder = "dashboard/dist"]
#[allow_missing = true]
struct Built;

/// A file, plain and compressed.
pub struct Asset {
    /// What it is, for `Content-Type`.
    pub kind: &'static str,
    /// The SHA-256 of the plain file, which is part of each coding's `ETag`.
    pub sha256: String,
    plain: Cow<'static, [u8]>,
    brotli: Option<Cow<'static, [u8]>>,
    gzip: Option<Cow<'static, [u8]>>,
}

impl Asset {
    /// The codings it is there in.
    pub fn codings(&self) -> impl Iterator<Item = Coding> {
        let brotli = self.brotli.as_ref().map(|_| Coding::Brotli);
        let gzip = self.gzip.as_ref().map(|_| Coding::Gzip);
        brotli.into_iter().chain(gzip).chain([Coding::Plain])
    }

    /// The file's bytes in a coding; the plain ones if it is not there in that.
    pub fn bytes(&self, coding: Coding) -> &Cow<'static, [u8]> {
        let coded = match coding {
            Coding::Plain => None,
            Coding::Brotli => self.brotli.as_ref(),
            Coding::Gzip => self.gzip.as_ref(),
        };
        coded.unwrap_or(&self.plain)
    }
}

/// Files by their path below `/ui/`.
#[derive(Default)]
pub struct Assets(BTreeMap<String, Asset>);

impl Assets {
    /// Those that were built; none if nobody has.
    pub fn built() -> &'static Assets {
        static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
            let files = Built::iter().filter_map(|path| {
                let bytes = Built::get(&path)?.data;
                Some((path.into_owned(), bytes))
            });
            Assets::of(files.collect())
        });
        &ASSETS
    }

    /// Puts each file together with its compressed forms, `<path>.br` and `<path>.gz`.
    pub fn of(mut files: BTreeMap<String, Cow<'static, [u8]>>) -> Self {
        let names: Vec<String> = files.keys().filter(|path| !is_compressed(path)).cloned().collect();
        let mut assets = BTreeMap::new();
        for path in names {
            let brotli = files.remove(&format!("{path}.br"));
            let gzip = files.remove(&format!("{path}.gz"));
            let Some(plain) = files.remove(&path) else { continue };
            let sha256 = Sha256::digest(&plain).iter().map(|byte| format!("{byte:02x}")).collect();
            let kind = kind_of(&path);
            assets.insert(path, Asset { kind, sha256, plain, brotli, gzip });
        }
        Self(assets)
    }

    /// The file at a path.
    pub fn find(&self, path: &str) -> Option<&Asset> {
        self.0.get(path)
    }
}

fn is_compressed(path: &str) -> bool {
    path.ends_with(".br") || path.ends_with(".gz")
}

fn kind_of(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "json" | "webmanifest" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
