//! Writes JSON field by field. Names and texts here are plain: nothing needs escaping.

use std::{fmt, io::Write};

use aplomb_state::ids::Timestamp;
use aplomb_topologies::time::Iso;

use super::catalog::CURRENCY;

/// A UUID of version 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u128);

pub(super) struct Json {
    out: Vec<u8>,
    /// Nothing stands yet in the object or array that is open.
    first: bool,
}

// === impl Id ===

impl Id {
    pub fn from_random(bits: u128) -> Self {
        let version = bits & !(0xf << 76) | (0x4 << 76);
        Self(version & !(0x3 << 62) | (0x2 << 62))
    }

    fn bytes(self) -> [u8; 36] {
        let mut text = [b'-'; 36];
        let places = text.iter_mut().enumerate().filter(|(n, _)| !matches!(n, 8 | 13 | 18 | 23));
        for ((_, place), digit) in places.zip(0_u32..) {
            let nibble = u8::try_from((self.0 >> (124 - 4 * digit)) & 0xf).unwrap_or(0);
            *place = if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble };
        }
        text
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(&self.bytes()).unwrap_or_default())
    }
}

// === impl Json ===

impl Json {
    /// Begins with an open object.
    pub fn object(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.push(b'{');
        Self { out, first: true }
    }

    /// Closes the object it began with.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    pub fn open(&mut self, name: &str) {
        self.name(name);
        self.begin(b'{');
    }

    pub fn close(&mut self) {
        self.out.push(b'}');
        self.first = false;
    }

    pub fn open_list(&mut self, name: &str) {
        self.name(name);
        self.begin(b'[');
    }

    pub fn close_list(&mut self) {
        self.out.push(b']');
        self.first = false;
    }

    /// An object in a list.
    pub fn open_item(&mut self) {
        self.comma();
        self.begin(b'{');
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value.as_bytes());
    }

    /// The text is put together from parts.
    pub fn format(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.name(name);
        self.out.push(b'"');
        // Writing into a vector does not fail.
        let _ = self.out.write_fmt(value);
        self.out.push(b'"');
    }

    pub fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        let _ = write!(self.out, "{value}");
    }

    pub fn count(&mut self, name: &str, value: u64) {
        self.name(name);
        let _ = write!(self.out, "{value}");
    }

    pub fn id(&mut self, name: &str, id: Id) {
        self.name(name);
        self.quoted(&id.bytes());
    }

    pub fn time(&mut self, name: &str, at: Timestamp) {
        self.format(name, format_args!("{}", Iso(at)));
    }

    pub fn money(&mut self, name: &str, cents: i64) {
        self.open(name);
        self.text("type", "centPrecision");
        self.text("currencyCode", CURRENCY);
        self.number("centAmount", cents);
        self.number("fractionDigits", 2);
        self.close();
    }

    pub fn reference(&mut self, name: &str, type_id: &str, id: Id) {
        self.open(name);
        self.text("typeId", type_id);
        self.id("id", id);
        self.close();
    }

    /// Whole fields, as they stand.
    pub fn raw(&mut self, fields: &str) {
        self.comma();
        self.out.extend_from_slice(fields.as_bytes());
        self.first = false;
    }

    /// A value as it stands.
    pub fn raw_value(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.extend_from_slice(value.as_bytes());
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.quoted(name.as_bytes());
        self.out.push(b':');
    }

    fn begin(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.first = true;
    }

    fn comma(&mut self) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
    }

    fn quoted(&mut self, text: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(text);
        self.out.push(b'"');
    }
}
