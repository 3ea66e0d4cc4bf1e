//! How a log lies in its branch: folders of at most 64 segments, each named by the offset of its first byte.
//!
//! The newest folder takes the next segment until it is full, so a commit writes a small folder however long the log
//! grows, and a reader finds the segment of any offset by two look-ups.

use crate::id::JobId;
use crate::state::layout;
use crate::state::tree::Entry;

/// Segments in one folder: 64 names are about 3 KiB of tree a commit.
const FOLDER_SEGMENTS_MAX: usize = 64;

/// One attempt's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogName {
    /// Whose.
    pub job: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// The day of its branch.
    pub day: String,
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// How many bytes it has.
    pub size: u64,
    /// The newest folder, by its first offset, and how many segments it has.
    folder: u64,
    segments: usize,
}

/// Reads folders and the lengths of files of a log branch.
pub trait LogFiles {
    /// Why it could not.
    type Error;
    /// The entries of a folder.
    fn list(&mut self, path: &str) -> Result<Vec<Entry>, Self::Error>;
    /// The length of a file in bytes.
    fn length(&mut self, path: &str) -> Result<u64, Self::Error>;
}

/// A stored segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The offset of its first byte.
    pub offset: u64,
    /// Its file.
    pub path: String,
}

impl LogName {
    fn folder(&self) -> String {
        layout::log_folder(&self.job, self.attempt)
    }

    /// The ref of its branch.
    pub fn branch(&self) -> String {
        layout::logs_ref(&self.day)
    }

    /// The segments from the one that holds the byte at `from` on, of the folder that holds it and the later ones,
    /// at most `limit`.
    pub fn segments<F: LogFiles>(
        &self,
        files: &mut F,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Segment>, F::Error> {
        let root = self.folder();
        let folders = offsets(files.list(&root)?);
        let first = folders.partition_point(|offset| *offset <= from).saturating_sub(1);
        let mut found = Vec::new();
        for folder in &folders[first.min(folders.len())..] {
            let all = offsets(files.list(&layout::log_segments(&root, *folder))?);
            let skip = all.partition_point(|offset| *offset <= from).saturating_sub(1);
            let paths = all.into_iter().skip(skip);
            found.extend(
                paths.map(|offset| Segment { offset, path: layout::log_segment(&root, *folder, offset) }),
            );
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Where the log ends now.
    pub fn end<F: LogFiles>(&self, files: &mut F) -> Result<End, F::Error> {
        let root = self.folder();
        let Some(folder) = offsets(files.list(&root)?).pop() else { return Ok(End::default()) };
        let segments = offsets(files.list(&layout::log_segments(&root, folder))?);
        let Some(last) = segments.last() else { return Ok(End::default()) };
        let length = files.length(&layout::log_segment(&root, folder, *last))?;
        Ok(End { size: last + length, folder, segments: segments.len() })
    }

    /// The file of the segment that goes on at `end`.
    pub fn next_path(&self, end: End) -> String {
        let folder = if end.segments < FOLDER_SEGMENTS_MAX { end.folder } else { end.size };
        layout::log_segment(&self.folder(), folder, end.size)
    }
}

impl End {
    /// The end after one more segment.
    pub fn after(self, bytes: u64) -> Self {
        let size = self.size + bytes;
        if self.segments < FOLDER_SEGMENTS_MAX {
            Self { size, folder: self.folder, segments: self.segments + 1 }
        } else {
            Self { size, folder: self.size, segments: 1 }
        }
    }
}

/// The offsets that names say, ascending; git has them in this order, because they are padded to the same length.
fn offsets(entries: Vec<Entry>) -> Vec<u64> {
    entries.iter().filter_map(|entry| layout::log_offset(&entry.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::oid::Oid;
    use std::collections::{BTreeMap, BTreeSet};
    use std::convert::Infallible;

    #[derive(Default)]
    struct Files(BTreeMap<String, u64>);

    impl LogFiles for Files {
        type Error = Infallible;
        fn list(&mut self, path: &str) -> Result<Vec<Entry>, Infallible> {
            let below = format!("{path}/");
            let names: BTreeSet<String> = (self.0.keys())
                .filter_map(|file| Some(file.strip_prefix(&below)?.split('/').next()?.to_owned()))
                .collect();
            Ok(names.into_iter().map(|name| Entry { name, is_folder: false, oid: Oid::ZERO }).collect())
        }
        fn length(&mut self, path: &str) -> Result<u64, Infallible> {
            Ok(self.0[path])
        }
    }

    #[test]
    fn every_offset_is_found_again_however_many_segments_there_are() {
        let name = LogName {
            job: "job-01jd000000000000000000007k".parse().unwrap(),
            attempt: 1,
            day: "2026-11-20".to_owned(),
        };
        let (mut files, mut end) = (Files::default(), End::default());
        for length in (0..200u64).map(|n| n % 7 + 1) {
            assert_eq!(name.end(&mut files), Ok(end));
            files.0.insert(name.next_path(end), length);
            end = end.after(length);
        }
        let widest = (files.list(&name.folder()).unwrap().len()).max(FOLDER_SEGMENTS_MAX);
        assert_eq!(widest, FOLDER_SEGMENTS_MAX, "no folder is wider");
        let all = name.segments(&mut files, 0, usize::MAX).unwrap();
        assert_eq!(all.len(), 200);
        for byte in 0..end.size {
            let found = name.segments(&mut files, byte, 1).unwrap();
            let length = files.0[&found[0].path];
            assert!((found[0].offset..found[0].offset + length).contains(&byte), "byte {byte} in {found:?}");
        }
    }
}
