//! Where artifact bytes are kept: an object store, by default a folder. A file's name is its SHA-256.
//!
//! Bytes that an upload is about to refer to are not removed: whoever stores them has them [`InUse`] from before they get
//! their name until the entry is committed, and a [`Sweep`] passes over what was in use at any moment since it began.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::RwLock;

use crate::clock::Time;

/// The largest artifact.
pub const ARTIFACT_BYTES_MAX: u64 = 8 << 30;
/// Uploads that are not finished are under this name; what a crash leaves there is removed at the next start.
const INCOMING: &str = "incoming";

/// Why bytes were not stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The sender stopped or the connection broke.
    #[error("the upload broke off after {received} bytes: {cause}")]
    Broken {
        /// Bytes that came.
        received: u64,
        /// What happened.
        cause: String,
    },
    /// More bytes than an artifact may have.
    #[error("an artifact has at most {ARTIFACT_BYTES_MAX} bytes")]
    TooLarge,
    /// The store refused.
    #[error("the artifact store: {0}")]
    Store(#[from] object_store::Error),
}

impl StoreError {
    /// Whether there was no room for the bytes; there may be later.
    pub fn is_full(&self) -> bool {
        let StoreError::Store(error) = self else { return false };
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// Stored bytes: their sum and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// SHA-256 in 64 hexadecimal digits.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// The store. A clone is the same.
#[derive(Clone)]
pub struct ArtifactStore {
    objects: Arc<dyn ObjectStore>,
    /// Held shared while bytes get their name, and alone while some are removed.
    naming: Arc<RwLock<()>>,
    uses: Arc<Mutex<Uses>>,
}

/// Which sums uploads are about to refer to.
#[derive(Default)]
struct Uses {
    now: HashMap<String, usize>,
    /// Those in use at any moment since the present sweep began.
    since_sweep: Option<HashSet<String>>,
}

/// Bytes with this sum stay while this lives.
pub struct InUse {
    sha256: String,
    uses: Arc<Mutex<Uses>>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut uses = self.uses.lock();
        if let Some(count) = uses.now.get_mut(&self.sha256) {
            *count -= 1;
            if *count == 0 {
                uses.now.remove(&self.sha256);
            }
        }
    }
}

/// Bytes that are there: their sum, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Their sum.
    pub sha256: String,
    /// When they got their name.
    pub since: Time,
}

/// A search for bytes that nothing refers to. Begin it before looking at entries; one at a time.
pub struct Sweep<'a>(&'a ArtifactStore);

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        self.0.uses.lock().since_sweep = None;
    }
}

impl Sweep<'_> {
    /// All bytes there are.
    pub async fn found(&self) -> Result<Vec<Found>, StoreError> {
        let mut objects = self.0.objects.list(None);
        let mut found = Vec::new();
        while let Some(object) = objects.next().await {
            let object = object?;
            let name = object.location.as_ref();
            if is_sha256(name) {
                let millis = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0);
                found.push(Found { sha256: name.to_owned(), since: Time::from_millis(millis) });
            }
        }
        Ok(found)
    }

    /// Removes bytes that no entry refers to, unless an upload may be about to; tells whether it did.
    pub async fn remove(&self, sha256: &str) -> Result<bool, StoreError> {
        let _alone = self.0.naming.write().await;
        if self.0.uses.lock().since_sweep.as_ref().is_none_or(|used| used.contains(sha256)) {
            return Ok(false);
        }
        match self.0.objects.delete(&ObjectPath::from(sha256)).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the text is a SHA-256 as it is written here: 64 hexadecimal digits, small letters.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl ArtifactStore {
    /// A folder; every file in it is durable before it is named.
    pub fn in_folder(folder: &Path) -> Result<Self, StoreError> {
        let failed =
            |source: std::io::Error| object_store::Error::Generic { store: "folder", source: source.into() };
        let incoming = folder.join(INCOMING);
        if incoming.is_dir() {
            std::fs::remove_dir_all(&incoming).map_err(failed)?;
        }
        std::fs::create_dir_all(folder).map_err(failed)?;
        Ok(Self {
            objects: Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true)),
            naming: Arc::default(),
            uses: Arc::default(),
        })
    }

    /// Begins to look for bytes that nothing refers to.
    pub fn sweep(&self) -> Sweep<'_> {
        let mut uses = self.uses.lock();
        uses.since_sweep = Some(uses.now.keys().cloned().collect());
        Sweep(self)
    }

    fn take(&self, sha256: &str) -> InUse {
        let mut uses = self.uses.lock();
        *uses.now.entry(sha256.to_owned()).or_default() += 1;
        if let Some(used) = &mut uses.since_sweep {
            used.insert(sha256.to_owned());
        }
        InUse { sha256: sha256.to_owned(), uses: self.uses.clone() }
    }

    /// Keeps the bytes with this sum from being removed; `None` if they are not there.
    pub async fn hold(&self, sha256: &str) -> Result<Option<InUse>, StoreError> {
        // From here on no sweep removes them, and one that has begun to is over when the lock is had.
        let in_use = self.take(sha256);
        let _named = self.naming.read().await;
        match self.objects.head(&ObjectPath::from(sha256)).await {
            Ok(_) => Ok(Some(in_use)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores what the stream gives, with its sum computed on the way. The same bytes are stored once, and stay at least
    /// while they are in use.
    pub async fn put<E: std::fmt::Display>(
        &self,
        upload_name: &str,
        mut bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<(Stored, InUse), StoreError> {
        let incoming = ObjectPath::from_iter([INCOMING, upload_name]);
        let mut upload = WriteMultipart::new(self.objects.put_multipart(&incoming).await?);
        let (mut size, mut sum) = (0u64, Sha256::new());
        while let Some(chunk) = bytes.next().await {
            let chunk = match chunk {
                Ok(chunk) if size + chunk.len() as u64 <= ARTIFACT_BYTES_MAX => chunk,
                Ok(_) => return abandon(upload, StoreError::TooLarge).await,
                Err(cause) => {
                    return abandon(upload, StoreError::Broken { received: size, cause: cause.to_string() })
                        .await;
                }
            };
            size += chunk.len() as u64;
            sum.update(&chunk);
            upload.wait_for_capacity(4).await?;
            upload.put(chunk);
        }
        upload.finish().await?;
        let sha256: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let _naming = self.naming.read().await;
        let in_use = self.take(&sha256);
        self.objects.rename(&incoming, &ObjectPath::from(sha256.as_str())).await?;
        Ok((Stored { sha256, size }, in_use))
    }

    /// The bytes with this sum, or a range of them.
    pub async fn get(
        &self,
        sha256: &str,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, object_store::Error>>, StoreError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        Ok(self.objects.get_opts(&ObjectPath::from(sha256), options).await?.into_stream())
    }
}

async fn abandon<T>(upload: WriteMultipart, error: StoreError) -> Result<T, StoreError> {
    upload.abort().await?;
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    type Chunks = Vec<Result<Bytes, String>>;

    async fn read(store: &ArtifactStore, sha256: &str, range: Option<Range<u64>>) -> Vec<u8> {
        let chunks: Vec<_> = store.get(sha256, range).await.unwrap().collect().await;
        chunks.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect()
    }

    #[tokio::test]
    async fn bytes_are_found_by_their_sum_whole_or_in_part() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::in_folder(folder.path()).unwrap();
        let chunks: Chunks = vec![Ok("hello ".into()), Ok("world".into())];
        let (stored, _) = store.put("one", stream::iter(chunks)).await.unwrap();
        assert_eq!(stored.size, 11);
        assert_eq!(stored.sha256, "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
        assert_eq!(read(&store, &stored.sha256, None).await, b"hello world");
        assert_eq!(read(&store, &stored.sha256, Some(6..11)).await, b"world");
    }

    #[tokio::test]
    async fn a_broken_upload_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::in_folder(folder.path()).unwrap();
        let chunks: Chunks = vec![Ok("hello ".into()), Err("the connection broke".to_owned())];
        let error = store.put("one", stream::iter(chunks)).await.err().unwrap();
        assert!(matches!(error, StoreError::Broken { received: 6, .. }), "{error}");
        let files = crate::bench::report::bytes_below(folder.path());
        assert_eq!(files, 0);
    }

    #[tokio::test]
    async fn a_sweep_passes_over_what_was_in_use_since_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::in_folder(folder.path()).unwrap();
        let put = |text: &'static str| store.put("one", stream::iter(vec![Ok::<_, String>(text.into())]));
        let (a, held) = put("a").await.unwrap();
        let (b, _) = put("b").await.unwrap();
        let sweep = store.sweep();
        assert_eq!(sweep.found().await.unwrap().len(), 2);
        drop(held);
        assert!(
            !sweep.remove(&a.sha256).await.unwrap(),
            "it was about to be referred to when the sweep began"
        );
        // Bytes that nothing referred to are stored again while the sweep goes on.
        let (_, again) = put("b").await.unwrap();
        drop(again);
        assert!(!sweep.remove(&b.sha256).await.unwrap());
        drop(sweep);
        let sweep = store.sweep();
        assert!(sweep.remove(&a.sha256).await.unwrap() && sweep.remove(&b.sha256).await.unwrap());
        assert!(!sweep.remove(&b.sha256).await.unwrap(), "it is gone already");
        assert_eq!(sweep.found().await.unwrap(), []);
    }
}
