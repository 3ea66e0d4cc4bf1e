//! Reads the whole journal back at start: puts its segments in order, finds what no repository has yet, and refuses
//! a journal that a crash cannot have left so. It changes nothing on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Lsn;
pub use super::record::OwnedRecord;
pub use super::scan::Tail;
use super::scan::{self, ScanError, Scanned, Window};
use super::segment::{BLOCK_BYTES, DATA_START, Header, Segment, file_number};
use crate::state::disk::Disk;

/// What a person does about a damaged journal; every refusal ends with it.
const WHAT_TO_DO: &str = "MrX did not start and changed nothing: keep a copy of the journal folder, check the disk, \
                          then bring the folder back from a backup or ask for help";

/// Why the journal was not opened. Nothing was changed.
#[expect(missing_docs, reason = "the text of each variant says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An option is out of its bounds.
    #[error("the journal's {option} is {value}; it can be {bounds}")]
    BadOption { option: &'static str, value: u64, bounds: String },
    /// The file system refused.
    #[error("{doing} {} failed", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// Another version of MrX wrote the segment.
    #[error("{} has format {version}, which this version of MrX does not know; start the version that wrote it", file.display())]
    OtherVersion { file: PathBuf, version: u32 },
    /// Records are broken that a crash cannot have broken.
    #[error("the journal is damaged: in {} at byte {at}, {what}; {WHAT_TO_DO}", file.display())]
    Damaged { file: PathBuf, at: u64, what: String },
    /// Records are missing that no repository has.
    #[error("the journal is damaged: changes {from} to {to} are missing before {}; {WHAT_TO_DO}", before.display())]
    Missing { from: u64, to: u64, before: PathBuf },
}

/// Why a record that was there at the start could not be read again.
#[expect(missing_docs, reason = "the text of each variant says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading failed.
    #[error("reading {} failed", file.display())]
    Io { file: PathBuf, source: io::Error },
    /// The bytes are others than a moment ago, or a name in them is no text.
    #[error("the record in {} at byte {at} cannot be read; {WHAT_TO_DO}", file.display())]
    Broken { file: PathBuf, at: u64 },
}

/// What the journal held when it was opened.
pub struct Recovered {
    /// How it ended.
    pub tail: Tail,
    /// The number of the next record.
    pub next_lsn: Lsn,
    /// Every record below this stands in its repository.
    pub released: Lsn,
    found: Vec<Found>,
}

/// A segment with what was found in it.
pub struct Found {
    /// The segment.
    pub segment: Segment,
    /// What it holds.
    pub scanned: Scanned,
}

/// What stands in the journal's folder.
pub struct Folder {
    /// What the engine gets.
    pub recovered: Recovered,
    /// Files without a readable header or a needed record: a segment was being made when the machine stopped.
    pub unfinished: Vec<Segment>,
    /// The journal's number; `None` if it is new.
    pub journal: Option<u64>,
    /// Higher than every generation in the folder.
    pub next_generation: u64,
    /// Higher than every file's number.
    pub next_file: u64,
}

impl Recovered {
    /// The records that may not stand in their repository yet, in order. Read them before releasing any: a segment
    /// that is released is written over.
    pub fn records(&self) -> impl Iterator<Item = Result<OwnedRecord, ReadError>> {
        self.found.iter().flat_map(|found| Records::of(found, self.released.0))
    }

    /// The segments in order, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.found.iter().map(|found| &found.segment)
    }

    /// The last segment that holds a record or a mark, of which the last batch may not be durable.
    pub fn last_written(&self) -> Option<&Found> {
        self.found.iter().rev().find(|found| found.scanned.end > DATA_START)
    }
}

/// Walks over the records of one segment that are not released.
struct Records<'a> {
    window: Window<'a>,
    path: &'a Path,
    at: u64,
    /// The lsn of the next record.
    next: u64,
    /// The lsn behind the last one.
    end: u64,
    released: u64,
}

impl<'a> Records<'a> {
    fn of(found: &'a Found, released: u64) -> Self {
        let Found { segment, scanned } = found;
        let next = if scanned.next > released { scanned.first } else { scanned.next };
        let window = Window::new(&*segment.file, scanned.end, Some(scanned.journal));
        Self { window, path: &segment.path, at: DATA_START, next, end: scanned.next, released }
    }

    /// Takes the next record, or `None` if it is released or there is only the filling of a block.
    fn step(&mut self) -> Result<Option<OwnedRecord>, ReadError> {
        let unread = |source| ReadError::Io { file: self.path.to_owned(), source };
        let broken = ReadError::Broken { file: self.path.to_owned(), at: self.at };
        let Some(head) = self.window.valid(self.at).map_err(unread)? else {
            let filling = self.at.next_multiple_of(BLOCK_BYTES);
            let inside = filling != self.at && filling < self.window.end;
            self.at = filling;
            return if inside { Ok(None) } else { Err(broken) };
        };
        if head.place.lsn != self.next {
            return Err(broken);
        }
        let record = self.window.at(self.at, head.length).map_err(unread)?;
        self.at += head.room();
        self.next += 1;
        if head.place.lsn < self.released {
            return Ok(None);
        }
        record.and_then(|bytes| head.decode(bytes)).map(Some).ok_or(broken)
    }
}

impl Iterator for Records<'_> {
    type Item = Result<OwnedRecord, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next < self.end {
            match self.step() {
                Ok(None) => {}
                Ok(Some(record)) => return Some(Ok(record)),
                Err(error) => {
                    self.next = self.end;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Reads the folder. Segments that are `segment_bytes` long may be used again.
pub fn read_folder(disk: &dyn Disk, folder: &Path, segment_bytes: u64) -> Result<Folder, OpenError> {
    let mut reading = Reading { next_file: 1, ..Reading::default() };
    for (number, path) in segment_files(folder)? {
        reading.next_file = reading.next_file.max(number + 1);
        reading.file(disk, path, segment_bytes)?;
    }
    reading.found.sort_by_key(|found| found.segment.generation);
    reading.refuse_strangers()?;
    let released = reading.found.iter().map(|found| found.scanned.released).max().unwrap_or(1).max(1);
    reading.refuse_gaps(released)?;
    reading.refuse_needed_without_header(released)?;
    Ok(reading.finish(released))
}

#[derive(Default)]
struct Reading {
    found: Vec<Found>,
    unfinished: Vec<Segment>,
    next_file: u64,
}

impl Reading {
    fn file(&mut self, disk: &dyn Disk, path: PathBuf, segment_bytes: u64) -> Result<(), OpenError> {
        let io = |source| OpenError::Io { doing: "reading", path: path.clone(), source };
        let file = disk.open(&path).map_err(io)?;
        let bytes = file.len().map_err(io)?;
        let mut block = vec![0; BLOCK_BYTES.min(bytes) as usize];
        file.read_exact_at(&mut block, 0).map_err(io)?;
        if let Some(version) = Header::other_version(&block) {
            return Err(OpenError::OtherVersion { file: path, version });
        }
        let mut segment =
            Segment { path: path.as_path().into(), file, bytes, generation: 0, last: 0, fits: false };
        let Some(header) = Header::decode(&block) else {
            self.unfinished.push(segment);
            return Ok(());
        };
        let scanned = scan::scan(&*segment.file, &header).map_err(|error| refusal(&path, error))?;
        segment.generation = header.generation;
        segment.last = scanned.next.saturating_sub(1);
        segment.fits = bytes == segment_bytes && header.bytes == segment_bytes;
        self.found.push(Found { segment, scanned });
        Ok(())
    }

    /// No two uses have the same generation, and all segments have their journal's number.
    fn refuse_strangers(&self) -> Result<(), OpenError> {
        let copy = self.found.windows(2).find(|two| two[0].segment.generation == two[1].segment.generation);
        let other = self.found.windows(2).find(|two| two[0].scanned.journal != two[1].scanned.journal);
        copy.or(other).map_or(Ok(()), |two| {
            let what = format!("the file does not belong beside {}", two[0].segment.path.display());
            Err(OpenError::Damaged { file: two[1].segment.path.to_path_buf(), at: 0, what })
        })
    }

    /// The numbers go on from segment to segment; a gap is harmless only if all of it was released.
    fn refuse_gaps(&self, released: u64) -> Result<(), OpenError> {
        let mut next = 1;
        for Found { segment, scanned } in self.found.iter().filter(|found| found.scanned.next != 0) {
            if scanned.first != next && scanned.first.max(next) > released {
                let (from, to) = (next.max(released), scanned.first.saturating_sub(1));
                return Err(OpenError::Missing { from, to, before: segment.path.to_path_buf() });
            }
            next = scanned.next;
        }
        Ok(())
    }

    fn refuse_needed_without_header(&mut self, released: u64) -> Result<(), OpenError> {
        let journal = self.found.first().map(|found| found.scanned.journal);
        for segment in &mut self.unfinished {
            let io = |source| OpenError::Io { doing: "reading", path: segment.path.to_path_buf(), source };
            segment.last = scan::highest_lsn(&*segment.file, journal).map_err(io)?;
        }
        let needed = self.unfinished.iter().find(|segment| segment.last >= released);
        needed.map_or(Ok(()), |segment| {
            let what = format!("the header cannot be read, yet change {} stands behind it", segment.last);
            Err(OpenError::Damaged { file: segment.path.to_path_buf(), at: 0, what })
        })
    }

    fn finish(self, released: u64) -> Folder {
        let next_lsn = self.found.iter().map(|found| found.scanned.next).fold(released, u64::max);
        let newest = self.found.iter().map(|found| found.scanned.generation).max();
        let last = self.found.iter().rev().find(|found| !found.scanned.is_untouched());
        let tail = last.map_or(Tail::End, |found| found.scanned.tail);
        let (next_lsn, released) = (Lsn(next_lsn), Lsn(released));
        let journal = self.found.first().map(|found| found.scanned.journal);
        Folder {
            journal,
            recovered: Recovered { tail, next_lsn, released, found: self.found },
            unfinished: self.unfinished,
            next_generation: newest.unwrap_or(0) + 1,
            next_file: self.next_file,
        }
    }
}

fn refusal(path: &Path, error: ScanError) -> OpenError {
    match error {
        ScanError::Read(source) => OpenError::Io { doing: "reading", path: path.to_owned(), source },
        ScanError::Damaged { at, later } => {
            let what = format!("a record is broken, yet a later one stands at byte {later}");
            OpenError::Damaged { file: path.to_owned(), at, what }
        }
    }
}

fn segment_files(folder: &Path) -> Result<Vec<(u64, PathBuf)>, OpenError> {
    let io = |source| OpenError::Io { doing: "listing", path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if let Some(number) = entry.file_name().to_str().and_then(file_number) {
            files.push((number, entry.path()));
        }
    }
    Ok(files)
}
