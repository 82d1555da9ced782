//! What the proxy reads of Kafka's protocol: the length of a frame, and the head of a request.

use std::io::{self, Read};

/// No request or answer of these tests is longer; a length above it is no Kafka.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    Produce,
    Fetch,
    JoinGroup,
    Heartbeat,
    SyncGroup,
    InitProducerId,
    AddPartitionsToTxn,
    AddOffsetsToTxn,
    EndTxn,
    TxnOffsetCommit,
    Other(i16),
}

impl Api {
    fn of(key: i16) -> Self {
        match key {
            0 => Self::Produce,
            1 => Self::Fetch,
            11 => Self::JoinGroup,
            12 => Self::Heartbeat,
            14 => Self::SyncGroup,
            22 => Self::InitProducerId,
            24 => Self::AddPartitionsToTxn,
            25 => Self::AddOffsetsToTxn,
            26 => Self::EndTxn,
            28 => Self::TxnOffsetCommit,
            other => Self::Other(other),
        }
    }
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub api: Api,
    pub correlation: i32,
    pub client: String,
}

impl Head {
    /// Of a whole frame: length, api key, api version, correlation id, client id.
    pub fn of_request(frame: &[u8]) -> io::Result<Self> {
        let api = Api::of(i16::from_be_bytes(part(frame, 4)?));
        let correlation = i32::from_be_bytes(part(frame, 8)?);
        // Minus one stands for no name.
        let length = usize::try_from(i16::from_be_bytes(part(frame, 12)?)).unwrap_or(0);
        let name = frame.get(14..14 + length).ok_or_else(short)?;
        let client = String::from_utf8_lossy(name).into_owned();
        Ok(Self { api, correlation, client })
    }
}

/// Of the whole frame of an answer.
pub fn correlation_of_answer(frame: &[u8]) -> io::Result<i32> {
    Ok(i32::from_be_bytes(part(frame, 4)?))
}

/// Reads a whole frame, its length included. `false`: the other side has closed.
pub fn read(from: &mut impl Read, frame: &mut Vec<u8>) -> io::Result<bool> {
    frame.clear();
    frame.resize(4, 0);
    match from.read_exact(frame) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(i32::from_be_bytes(part(frame, 0)?)).map_err(|_| short())?;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other(format!("a frame of {length} bytes is no Kafka")));
    }
    frame.resize(4 + length, 0);
    let body = frame.get_mut(4..).ok_or_else(short)?;
    from.read_exact(body)?;
    Ok(true)
}

fn part<const N: usize>(frame: &[u8], at: usize) -> io::Result<[u8; N]> {
    let bytes = frame.get(at..at + N).ok_or_else(short)?;
    bytes.try_into().map_err(|_| short())
}

fn short() -> io::Error {
    io::Error::other("a frame that ends too early")
}
