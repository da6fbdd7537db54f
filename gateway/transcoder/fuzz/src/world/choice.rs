//! The choices of the first byte of an input: a message, and the options of the schema.

use transcoder::{EmitDefaults, JsonOptions};

/// The message under test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) root: Root,
    pub(crate) style: Style,
}

/// The messages that bodies are read as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Root {
    pub(crate) message: &'static str,
    pub(crate) path: &'static str,
}

/// The options of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) defaults: EmitDefaults,
    pub(crate) shows_proto_names: bool,
    pub(crate) shows_numbers: bool,
    pub(crate) ignores_unknown: bool,
    pub(crate) has_strict_names: bool,
}

const SINK: Root = Root {
    message: "kitchen.Sink",
    path: "/sink",
};
const OLD: Root = Root {
    message: "legacy.Old",
    path: "/old",
};
const BAG: Root = Root {
    message: "strict.Bag",
    path: "/bag",
};

const DEFAULTS: [EmitDefaults; 3] = [
    EmitDefaults::Never,
    EmitDefaults::Scalars,
    EmitDefaults::All,
];

// === impl Choice ===

impl Choice {
    /// Returns an input begins with a digit for a message without options (`2`, `3`, `4`), or with
    /// any other byte for a message with some.
    pub(crate) fn split(data: &[u8]) -> (Choice, &[u8]) {
        let (first, rest) = data.split_first().unwrap_or((&b'3', &[]));
        let (root, style) = match first {
            b'2' => (OLD, 0),
            b'3' => (SINK, 0),
            b'4' => (BAG, 0),
            other => {
                let other = usize::from(*other);
                ([SINK, OLD, BAG][other % 3], other / 3 % Style::COUNT)
            }
        };
        let style = Style::nth(style);
        (Choice { root, style }, rest)
    }
}

// === impl Root ===

impl Root {
    /// Returns whether closed enums and message sets may be in it, by its own type or by that of an
    /// Any: other implementations read neither as the guides say.
    pub(crate) fn is_beyond_others(self, input: &[u8]) -> bool {
        const PACKAGE: &[u8] = b"strict.";
        let has_name = input.windows(PACKAGE.len()).any(|part| part == PACKAGE);
        has_name || self.message.as_bytes().starts_with(PACKAGE)
    }
}

// === impl Style ===

impl Style {
    pub(crate) const COUNT: usize = DEFAULTS.len() << 4;

    fn nth(index: usize) -> Style {
        Style {
            defaults: DEFAULTS[index >> 4],
            shows_proto_names: index & 1 != 0,
            shows_numbers: index & 2 != 0,
            ignores_unknown: index & 4 != 0,
            has_strict_names: index & 8 != 0,
        }
    }

    pub(super) fn index(self) -> usize {
        let defaults = DEFAULTS.iter().position(|mode| *mode == self.defaults);
        let bits = usize::from(self.shows_proto_names)
            | usize::from(self.shows_numbers) << 1
            | usize::from(self.ignores_unknown) << 2
            | usize::from(self.has_strict_names) << 3;
        defaults.unwrap_or(0) << 4 | bits
    }

    /// Returns whether it is ProtoJSON without a choice, which other implementations can be
    /// compared with.
    pub(crate) fn is_plain(self) -> bool {
        self.index() == 0
    }

    pub(super) fn options(self) -> JsonOptions {
        JsonOptions {
            emit_defaults: self.defaults,
            preserve_proto_field_names: self.shows_proto_names,
            enums_as_numbers: self.shows_numbers,
            ignore_unknown_fields: self.ignores_unknown,
            strict_names: self.has_strict_names,
            // The style of errors, which are not compared.
            show_debug_info: false,
        }
    }
}
