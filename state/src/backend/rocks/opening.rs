//! Opening the database, and moving aside one that cannot be opened.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rocksdb::{ColumnFamilyDescriptor, ErrorKind, FlushOptions, IteratorMode, WriteOptions};

use super::{
    engine::{Column, Engine, failed},
    keys::{DEFAULT_COLUMN, FORMAT_ROW, META_COLUMN, is_task_row},
    meta::{DatabaseFormat, TaskRow},
    options::Memory,
};
use crate::{backend::Error, codec};

/// A database that could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedAside {
    pub to: PathBuf,
    pub reason: String,
}

pub(super) struct Opened {
    pub columns: BTreeMap<String, Column>,
    pub meta: Column,
    pub engine: Arc<Engine>,
    pub greatest_incarnation: u32,
    pub moved_aside: Option<MovedAside>,
}

pub(super) fn open(path: &Path, memory: &Memory) -> Result<Opened, Error> {
    let reason = match open_engine(path, memory).and_then(read) {
        Ok(opened) => return Ok(opened),
        Err(Refusal::Left(error)) => return Err(error),
        Err(Refusal::Damaged(reason)) => reason,
    };
    let to = move_aside(path).map_err(|error| {
        Error::Storage(format!("{reason}; and it cannot be moved aside: {error}"))
    })?;
    match open_engine(path, memory).and_then(read) {
        Ok(opened) => Ok(Opened { moved_aside: Some(MovedAside { to, reason }), ..opened }),
        Err(Refusal::Left(error)) => Err(error),
        Err(Refusal::Damaged(reason)) => Err(Error::Storage(reason)),
    }
}

/// The engine and the names of its columns.
type Raw = (Arc<Engine>, Vec<String>);

enum Refusal {
    /// Nothing there can be read: its tasks are rebuilt.
    Damaged(String),
    /// Nothing is known to be wrong with the database itself.
    Left(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Damaged(reason) => Self::Damaged(reason),
            error => Self::Left(error),
        }
    }
}

fn open_engine(path: &Path, memory: &Memory) -> Result<Raw, Refusal> {
    let options = memory.database_options().map_err(refused)?;
    let mut names = vec![DEFAULT_COLUMN.to_owned(), META_COLUMN.to_owned()];
    if path.join("CURRENT").exists() {
        let found = Engine::list_cf(&options, path).map_err(refused)?;
        let stores = found.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>();
        names.extend(stores);
    } else if has_tables(path) {
        // RocksDB would make an empty database over them.
        return Err(Refusal::Damaged("there are table files, but no CURRENT file".to_owned()));
    }
    let column = |name| ColumnFamilyDescriptor::new(name, memory.column_options());
    let engine = Engine::open_cf_descriptors(&options, path, names.iter().map(column));
    Ok((Arc::new(engine.map_err(refused)?), names))
}

fn has_tables(path: &Path) -> bool {
    let Ok(files) = fs::read_dir(path) else { return false };
    files.flatten().any(|file| Path::new(&file.file_name()).extension() == Some("sst".as_ref()))
}

/// A database that another process holds, or a disk that refuses, must not be moved.
fn refused(error: rocksdb::Error) -> Refusal {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotSupported => {
            Refusal::Damaged(text)
        }
        ErrorKind::IOError if text.contains("No such file") => Refusal::Damaged(text),
        _ => Refusal::Left(Error::Storage(text)),
    }
}

fn move_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1_u32.. {
        let mut name = OsString::from(path);
        name.push(format!(".broken-{number}"));
        let to = PathBuf::from(name);
        if !to.exists() {
            fs::rename(path, &to)?;
            return Ok(to);
        }
    }
    Err(io::Error::other("all names are taken"))
}

/// Checks the format of everything in `~meta`, and writes it into a new database.
fn read((engine, names): Raw) -> Result<Opened, Refusal> {
    let mut columns = BTreeMap::new();
    for name in names {
        let column = Column::find(&engine, &name);
        let column = column.ok_or_else(|| Error::Storage(format!("column {name} is not open")))?;
        columns.insert(name, column);
    }
    let meta = columns.remove(META_COLUMN);
    let meta = meta.ok_or_else(|| Error::Storage("column ~meta is not open".to_owned()))?;
    match engine.get_cf(meta.handle(), FORMAT_ROW).map_err(failed)? {
        Some(bytes) => {
            codec::decode::<DatabaseFormat>(&bytes).map_err(Error::from)?;
        }
        None => write_format(&engine, &meta)?,
    }
    let mut greatest_incarnation = 0;
    for entry in engine.iterator_cf(meta.handle(), IteratorMode::Start) {
        let (key, value) = entry.map_err(failed)?;
        if is_task_row(&key) {
            let greatest = TaskRow::decode(&value)?.greatest_incarnation();
            greatest_incarnation = greatest.max(greatest_incarnation);
        }
    }
    Ok(Opened { columns, meta, engine, greatest_incarnation, moved_aside: None })
}

/// Flushed at once, so that every database with rows has it.
fn write_format(engine: &Engine, meta: &Column) -> Result<(), Error> {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    let row = codec::encode(&DatabaseFormat);
    engine.put_cf_opt(meta.handle(), FORMAT_ROW, row, &options).map_err(failed)?;
    engine.flush_cf_opt(meta.handle(), &FlushOptions::default()).map_err(failed)
}
