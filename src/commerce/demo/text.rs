//! Text for a terminal of 80 columns.

use std::fmt::Write;

pub(super) const COLUMNS: usize = 80;

/// Whether to write escape sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    Plain,
    Ansi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Strong,
    Quiet,
    Good,
    Warn,
    Bad,
}

/// Lines under construction.
pub(super) struct Page {
    out: String,
    colours: Colours,
}

// === impl Page ===

impl Page {
    pub fn new(colours: Colours) -> Self {
        Self { out: String::new(), colours }
    }

    pub fn finish(self) -> String {
        self.out
    }

    pub fn blank(&mut self) {
        self.out.push('\n');
    }

    pub fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    pub fn title(&mut self, text: &str) {
        self.blank();
        let text = self.tone(Tone::Strong, text);
        self.line(&text);
    }

    pub fn rule(&mut self) {
        let rule = self.tone(Tone::Quiet, &"-".repeat(COLUMNS));
        self.line(&rule);
    }

    /// A name, and what there is to say of it, wrapped beside it.
    pub fn entry(&mut self, name: &str, text: &str) {
        const NAME: usize = 16;
        let mut name = name;
        if name.len() >= NAME {
            let strong = self.tone(Tone::Strong, name);
            self.line(&format!("  {strong}"));
            name = "";
        }
        for line in wrap(text, COLUMNS - 2 - NAME) {
            let padded = self.tone(Tone::Strong, &format!("{name:NAME$}"));
            self.line(&format!("  {padded}{line}"));
            name = "";
        }
    }

    /// Wrapped, so many columns from the left.
    pub fn paragraph(&mut self, indent: usize, tone: Tone, text: &str) {
        for line in wrap(text, COLUMNS - indent) {
            let line = self.tone(tone, &line);
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    pub fn tone(&self, tone: Tone, text: &str) -> String {
        let code = match (self.colours, tone) {
            (Colours::Plain, _) => return text.to_owned(),
            (_, Tone::Strong) => "1",
            (_, Tone::Quiet) => "2",
            (_, Tone::Good) => "32",
            (_, Tone::Warn) => "33",
            (_, Tone::Bad) => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Lines of at most `width` characters, broken at spaces. A longer word stands alone.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let needed = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && needed > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// `1,234,567`
pub(super) fn number(value: impl TryInto<i64>) -> String {
    let value: i64 = value.try_into().unwrap_or(i64::MAX);
    let digits = value.unsigned_abs().to_string();
    let mut text = if value < 0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `EUR 1,234.50`, for currencies of two digits.
pub(super) fn money(currency: &str, cents: i64) -> String {
    let mut text = format!("{currency} {}", number(cents / 100));
    // Writing into a string does not fail.
    let _ = write!(text, ".{:02}", cents.unsigned_abs() % 100);
    text
}

/// `1 unit`, `2 units`
pub(super) fn plural(count: impl TryInto<i64>, one: &str) -> String {
    let count: i64 = count.try_into().unwrap_or(i64::MAX);
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {one}{ending}", number(count))
}

/// Of an instant in ISO 8601: `2026-03-02 09:30`.
pub(super) fn minute(iso: &str) -> String {
    match (iso.get(..10), iso.get(11..16)) {
        (Some(date), Some(time)) => format!("{date} {time}"),
        _ => iso.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let rows = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (-12_345, "-12,345"),
            (1_234_567, "1,234,567"),
        ];
        for (value, expected) in rows {
            assert_eq!(number(value), expected);
        }
        assert_eq!(money("EUR", 1_234_506), "EUR 12,345.06");
        assert_eq!(
            (plural(1, "unit"), plural(1_200, "unit")),
            ("1 unit".into(), "1,200 units".into())
        );
        assert_eq!(minute("2026-03-02T09:30:00.000Z"), "2026-03-02 09:30");
    }

    #[test]
    fn words_are_never_cut() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a-very-long-word b", 4), ["a-very-long-word", "b"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
