//! A checkpoint on disk.
//!
//! ```text
//! magic  version  length header  (store  length key  length value)…  0xff  count  SHA-256
//! ```
//! Numbers are little-endian; lengths are 32 bits, the count 64. The hash is over all before it. A
//! file is written beside its place and renamed when it is whole and on the disk.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use aplomb_state::{
    backend::{self, Snapshot},
    codec,
    scan::Scan,
    store::StoreId,
};
use sha2::{Digest, Sha256};

use super::{Checkpoint, Header};

const MAGIC: &[u8; 8] = b"aplombcp";
const VERSION: u8 = 1;
/// No store has this number.
const END: u8 = 0xff;
/// Entries read from a snapshot at a time.
const ENTRIES_PER_SCAN: usize = 1_000;
/// Nothing that is stored is larger; a length beyond is damage.
const LENGTH_MAX: u32 = 1 << 30;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("damaged: {0}")]
    Damaged(&'static str),
    #[error(transparent)]
    Format(#[from] codec::Error),
    #[error("format version {0} of a checkpoint is not known here; run a newer build")]
    UnknownVersion(u8),
    #[error(transparent)]
    Store(#[from] backend::Error),
    #[error("stopped")]
    Stopped,
}

/// Writes a snapshot of `stores` stores, and answers the finished file. Ends early, without one,
/// when `stop` is set.
pub fn write(
    folder: &Path,
    header: Header,
    snapshot: &dyn Snapshot,
    stores: u8,
    stop: &AtomicBool,
) -> Result<Checkpoint, Error> {
    fs::create_dir_all(folder)?;
    let path = folder.join(header.file_name());
    let beside = path.with_extension("new");
    let written = write_to(&beside, &header, snapshot, stores, stop);
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    fs::rename(&beside, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(Checkpoint { path, header })
}

fn write_to(
    path: &PathBuf,
    header: &Header,
    snapshot: &dyn Snapshot,
    stores: u8,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut out = Hashing::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
    out.write_all(MAGIC)?;
    out.write_all(&[VERSION])?;
    write_bytes(&mut out, &codec::encode(header))?;
    let mut count: u64 = 0;
    for store in 0..stores {
        let mut last: Option<Vec<u8>> = None;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let entries = snapshot
                .scan(StoreId(store), Scan::rising(&[], last.as_deref(), ENTRIES_PER_SCAN))?;
            for (key, value) in &entries {
                out.write_all(&[store])?;
                write_bytes(&mut out, key)?;
                write_bytes(&mut out, value)?;
                count += 1;
            }
            match entries.into_iter().last() {
                Some((key, _)) => last = Some(key),
                None => break,
            }
        }
    }
    out.write_all(&[END])?;
    out.write_all(&count.to_le_bytes())?;
    let Hashing { mut inner, hash } = out;
    inner.write_all(&hash.finalize())?;
    inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(())
}

/// Only what it is of. Its contents may be damaged.
pub(super) fn header(path: &Path) -> Result<Header, Error> {
    read_header(&mut BufReader::new(File::open(path)?))
}

/// Hands out every entry. Nothing of it may be used if the answer is an error: only at its end is
/// it known whether the file is whole.
pub fn read(
    path: &Path,
    each: &mut dyn FnMut(StoreId, Vec<u8>, Vec<u8>) -> Result<(), backend::Error>,
) -> Result<Header, Error> {
    let mut input = Hashing::new(BufReader::with_capacity(1 << 20, File::open(path)?));
    let header = read_header(&mut input)?;
    let mut count: u64 = 0;
    loop {
        let [store] = read_array(&mut input)?;
        if store == END {
            break;
        }
        let key = read_bytes(&mut input)?;
        let value = read_bytes(&mut input)?;
        each(StoreId(store), key, value)?;
        count += 1;
    }
    if u64::from_le_bytes(read_array(&mut input)?) != count {
        return Err(Error::Damaged("entries are missing"));
    }
    let Hashing { mut inner, hash } = input;
    let stored: [u8; 32] = read_array(&mut inner)?;
    if stored != <[u8; 32]>::from(hash.finalize()) {
        return Err(Error::Damaged("the hash is another"));
    }
    Ok(header)
}

fn read_header(input: &mut impl Read) -> Result<Header, Error> {
    if read_array(input)? != *MAGIC {
        return Err(Error::Damaged("it does not begin as one"));
    }
    match read_array(input)? {
        [VERSION] => Ok(codec::decode(&read_bytes(input)?)?),
        [other] => Err(Error::UnknownVersion(other)),
    }
}

fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> Result<(), Error> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LENGTH_MAX);
    out.write_all(&length.ok_or(Error::Damaged("too long"))?.to_le_bytes())?;
    out.write_all(bytes)?;
    Ok(())
}

fn read_bytes(input: &mut impl Read) -> Result<Vec<u8>, Error> {
    let length = u32::from_le_bytes(read_array(input)?);
    if length > LENGTH_MAX {
        return Err(Error::Damaged("a length is out of range"));
    }
    // Not reserved at once: the length may be damage.
    let mut bytes = Vec::new();
    let read = input.take(u64::from(length)).read_to_end(&mut bytes)?;
    if u32::try_from(read) != Ok(length) {
        return Err(Error::Damaged("it ends too early"));
    }
    Ok(bytes)
}

fn read_array<const N: usize>(input: &mut impl Read) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    match input.read_exact(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Error::Damaged("it ends too early"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Hashes what goes through.
struct Hashing<T> {
    inner: T,
    hash: Sha256,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new() }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(bytes.get(..read).unwrap_or_default());
        Ok(read)
    }
}
