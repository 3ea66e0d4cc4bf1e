//! Writes past the page cache: whole blocks go to the disk straight from memory of ours (`O_DIRECT`).
//!
//! They are the journal's batches, which nobody reads unless there was a crash. Through the page cache each of their bytes is
//! copied once more, into pages that the system first has to find. What is no whole block (a pack, which folds read again soon)
//! and what is read goes through the cache as ever; the system keeps both views of a file the same.

use std::cell::RefCell;
use std::fs::File;
use std::io;

use parking_lot::Mutex;
use rustix::fs::{OFlags, fcntl_setfl};

use super::DiskFile;

/// Disks take blocks of 512 or 4096 bytes, from memory that begins at a multiple of them.
const BLOCK_BYTES: usize = 4096;
/// How much is written at once, and so how much memory each writing thread keeps for it.
const PIECE_BYTES: usize = 256 << 10;

thread_local! {
    static PIECE: RefCell<Piece> = RefCell::new(Piece::default());
}

/// A file of which whole blocks are written directly, where the file system can.
pub(super) struct DirectFile(Mutex<Handle>);

struct Handle {
    file: File,
    way: Way,
}

/// Which way the file's handle goes now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Cached,
    Direct,
    /// The file system has no direct writes (tmpfs).
    CachedForGood,
}

impl DirectFile {
    /// A file that was just opened.
    pub(super) fn new(file: File) -> Self {
        Self(Mutex::new(Handle { file, way: Way::Cached }))
    }
}

impl Handle {
    fn go_cached(&mut self) -> io::Result<()> {
        if self.way == Way::Direct {
            fcntl_setfl(&self.file, OFlags::empty())?;
            self.way = Way::Cached;
        }
        Ok(())
    }

    /// Tells whether it goes directly from now on.
    fn go_directly(&mut self) -> bool {
        if self.way == Way::Cached {
            let can = fcntl_setfl(&self.file, OFlags::DIRECT).is_ok();
            self.way = if can { Way::Direct } else { Way::CachedForGood };
        }
        self.way == Way::Direct
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if !bytes.is_empty() && are_blocks(bytes.len(), offset) && self.go_directly() {
            match write_directly(&self.file, bytes, offset) {
                // The disk has larger blocks than ours, and wrote nothing of the piece: the whole is written the other way.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.go_cached()?;
                    self.way = Way::CachedForGood;
                }
                result => return result,
            }
        }
        self.go_cached()?;
        self.file.write_all_at(bytes, offset)
    }
}

impl DiskFile for DirectFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.lock().write(bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut handle = self.0.lock();
        handle.go_cached()?;
        handle.file.read_exact_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        DiskFile::len(&self.0.lock().file)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.lock().file.sync_data()
    }
}

/// Whether so many bytes at this offset are whole blocks.
fn are_blocks(length: usize, offset: u64) -> bool {
    length.is_multiple_of(BLOCK_BYTES) && offset.is_multiple_of(BLOCK_BYTES as u64)
}

fn write_directly(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    PIECE.with_borrow_mut(|piece| {
        for (number, part) in bytes.chunks(PIECE_BYTES).enumerate() {
            file.write_all_at(piece.filled(part), offset + (number * PIECE_BYTES) as u64)?;
        }
        Ok(())
    })
}

/// Memory that begins at a block.
#[derive(Default)]
struct Piece(Vec<u8>);

impl Piece {
    fn filled(&mut self, part: &[u8]) -> &[u8] {
        self.0.resize(PIECE_BYTES + BLOCK_BYTES, 0);
        let start = self.0.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        let piece = &mut self.0[start..start + part.len()];
        piece.copy_from_slice(part);
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks_at_a_block_go_directly_and_all_else_through_the_cache() {
        for (length, offset, direct) in
            [(4096, 0, true), (8192, 4096, true), (8192, 512, false), (5000, 0, false), (300_000, 0, false)]
        {
            assert_eq!(are_blocks(length, offset), direct, "{length} bytes at {offset}");
        }
    }

    #[test]
    fn what_was_written_in_either_way_reads_back() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("file");
        let file =
            DirectFile::new(File::options().read(true).write(true).create_new(true).open(&path).unwrap());
        let bytes: Vec<u8> = (0..700_001u32).map(|n| (n * 7 % 251) as u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        file.write_all_at(&bytes[..163 * BLOCK_BYTES], 0).unwrap();
        file.write_all_at(&[7; 4096], 8192).unwrap();
        file.write_all_at(b"odd", 8195).unwrap();
        file.write_all_at(&[9; 4096], 12288).unwrap();
        file.sync_data().unwrap();
        let mut wanted = bytes.clone();
        wanted[8192..12288].fill(7);
        wanted[8195..8198].copy_from_slice(b"odd");
        wanted[12288..16384].fill(9);
        assert!(std::fs::read(&path).unwrap() == wanted);
        assert_eq!(file.len().unwrap(), 700_001);
        let mut read = vec![0; 5000];
        file.read_exact_at(&mut read, 8190).unwrap();
        assert!(read == wanted[8190..13190]);
    }
}
