//! A file that is written from front to back beside others who need the disk: packs, while the journal waits for its syncs.
//!
//! It becomes durable in small steps, so that a sync that comes behind one waits for that much, and not for a whole pack.

use std::io;
use std::sync::Arc;

use super::DiskFile;

/// What becomes durable at once, unless it is urgent.
pub const STEP_BYTES: usize = 256 << 10;

/// See the head of the file.
pub struct Steps {
    file: Arc<dyn DiskFile>,
    written: u64,
    durable: u64,
}

impl Steps {
    /// A file that was just created.
    pub fn of(file: Arc<dyn DiskFile>) -> Self {
        Self { file, written: 0, durable: 0 }
    }

    /// How many bytes were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes behind what was written before, in steps of so many bytes.
    pub fn write(&mut self, bytes: &[u8], step: usize) -> io::Result<()> {
        for part in bytes.chunks(step) {
            self.file.write_all_at(part, self.written)?;
            self.written += part.len() as u64;
            if self.written - self.durable >= step as u64 {
                self.sync()?;
            }
        }
        Ok(())
    }

    /// Makes durable what was written.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.durable = self.written;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// A file that remembers how much was written at each sync.
    #[derive(Default)]
    struct Remembers {
        bytes: Mutex<Vec<u8>>,
        synced_at: Mutex<Vec<usize>>,
    }

    impl DiskFile for Remembers {
        fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            let mut all = self.bytes.lock();
            assert_eq!(all.len() as u64, offset, "from front to back");
            all.extend_from_slice(bytes);
            Ok(())
        }
        fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.lock().len() as u64)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.synced_at.lock().push(self.bytes.lock().len());
            Ok(())
        }
    }

    #[test]
    fn no_more_than_a_step_waits_to_be_durable() {
        let (file, step) = (Arc::new(Remembers::default()), STEP_BYTES);
        let bytes: Vec<u8> = (0..step * 2 + 100).map(|n| (n % 251) as u8).collect();
        let mut steps = Steps::of(file.clone());
        let (small, large) = bytes.split_at(10);
        steps.write(small, step).unwrap();
        assert!(file.synced_at.lock().is_empty(), "a little waits for more");
        steps.write(large, step).unwrap();
        steps.sync().unwrap();
        assert_eq!(steps.written(), bytes.len() as u64);
        assert!(*file.bytes.lock() == bytes);
        assert_eq!(*file.synced_at.lock(), [step + 10, 2 * step + 10, bytes.len()]);
    }
}
