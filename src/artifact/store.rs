//! Where artifact bytes are kept: an object store, by default a folder. A file's name is its SHA-256.

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
use sha2::{Digest, Sha256};

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
pub struct ArtifactStore(Arc<dyn ObjectStore>);

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
        Ok(Self(Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true))))
    }

    /// Stores what the stream gives, with its sum computed on the way. The same bytes are stored once.
    pub async fn put<E: std::fmt::Display>(
        &self,
        upload_name: &str,
        mut bytes: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Stored, StoreError> {
        let incoming = ObjectPath::from_iter([INCOMING, upload_name]);
        let mut upload = WriteMultipart::new(self.0.put_multipart(&incoming).await?);
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
        self.0.rename(&incoming, &ObjectPath::from(sha256.as_str())).await?;
        Ok(Stored { sha256, size })
    }

    /// The bytes with this sum, or a range of them.
    pub async fn get(
        &self,
        sha256: &str,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, object_store::Error>>, StoreError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        Ok(self.0.get_opts(&ObjectPath::from(sha256), options).await?.into_stream())
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
        let stored = store.put("one", stream::iter(chunks)).await.unwrap();
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
        let error = store.put("one", stream::iter(chunks)).await.unwrap_err();
        assert!(matches!(error, StoreError::Broken { received: 6, .. }), "{error}");
        let files = crate::bench::report::bytes_below(folder.path());
        assert_eq!(files, 0);
    }
}
