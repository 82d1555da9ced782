//! Headers of a record to be written.

use std::borrow::Cow;

/// In order; a name may come twice. All values lie in one buffer, for every record has many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Names are owned where they come from a foreign record. With each, the end of its value.
    names: Vec<(Cow<'static, str>, usize)>,
    values: Vec<u8>,
}

impl Headers {
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { names: Vec::with_capacity(count), values: Vec::with_capacity(bytes) }
    }

    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: &[u8]) {
        self.write(name, |values| values.extend_from_slice(value));
    }

    /// The value is what `write` appends.
    pub fn write(&mut self, name: impl Into<Cow<'static, str>>, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.values);
        self.names.push((name.into(), self.values.len()));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut start = 0;
        self.names.iter().map(move |(name, end)| {
            let value = self.values.get(start..*end).unwrap_or_default();
            start = *end;
            (name.as_ref(), value)
        })
    }

    /// The first of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.values.len() + self.names.iter().map(|(name, _)| name.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_to_their_names() {
        let mut headers = Headers::with_capacity(2, 8);
        headers.push("a", b"one");
        headers.push("b".to_owned(), b"");
        headers.write("a", |values| values.extend_from_slice(b"two"));
        let all: Vec<(&str, &[u8])> = headers.iter().collect();
        assert_eq!(all, [("a", &b"one"[..]), ("b", b""), ("a", b"two")]);
        assert_eq!(headers.get("a"), Some(&b"one"[..]));
        assert_eq!((headers.get("b"), headers.get("c")), (Some(&b""[..]), None));
        assert_eq!((headers.len(), headers.bytes()), (3, 9));
    }
}
