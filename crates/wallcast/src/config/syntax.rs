//! Where a file stops being YAML, in words for the person who wrote it.
//!
//! Built from the kind and the place of the library's error, never from its text: that may quote the file.

use serde_saphyr::granit_parser::ErrorKind;
use serde_saphyr::{Error, ExternalMessageSource};

use super::problem::Problem;
use super::yaml::At;

/// The one place where a text is not YAML (or more YAML than we take).
pub(super) struct Broken {
    at: At,
    found: String,
    expected: String,
    pub(super) is_duplicate_key: bool,
}

impl Broken {
    pub(super) fn new(at: At, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Broken { at, found: found.into(), expected: expected.into(), is_duplicate_key: false }
    }
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Self {
        let Broken { at, found, expected, .. } = broken;
        Problem { line: at.line, column: at.column, path: String::new(), found, expected }
    }
}

/// Says what `error` means.
pub(super) fn explain(error: &Error) -> Broken {
    let at = error.location().map(At::from).unwrap_or_default();
    let (found, expected) = match error {
        Error::ExternalMessage { source, .. } => match source.as_ref() {
            ExternalMessageSource::Parser(error) => scan(error.kind()),
            _ => UNREADABLE,
        },
        Error::Eof { .. } => ("the end of the file", "a value"),
        Error::MultipleDocuments { .. } => ("a second document (`---`)", "one document"),
        Error::UnknownAnchor { .. } => {
            ("an alias (`*name`) without its anchor", "an anchor (`&name`) before it")
        }
        Error::DuplicateMappingKey { .. } => {
            return Broken {
                is_duplicate_key: true,
                ..Broken::new(at, "a key that stands twice", "each key once")
            };
        }
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (
            "more nesting, values or aliases than a configuration needs",
            "fewer than 50000 values, 16 levels and 100 aliases",
        ),
        Error::RecursiveReferencesRequireWeakTypes { .. } => ("an alias inside its own anchor", "no circle"),
        Error::NullIntoString { .. } | Error::Unexpected { .. } => {
            ("a key that is not text", "text before `:`")
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            ("`<<` with something else than a mapping", "a mapping to merge")
        }
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => {
            let inner = explain(error);
            let at = if inner.at == At::default() { at } else { inner.at };
            return Broken { at, ..inner };
        }
        _ => UNREADABLE,
    };
    Broken::new(at, found, expected)
}

const UNREADABLE: (&str, &str) = ("something that YAML does not allow here", "`key: value`, or `- item`");

fn scan(kind: &ErrorKind) -> (&'static str, &'static str) {
    use ErrorKind as K;
    match kind {
        K::TabNotAllowed
        | K::TabInBlockIndentation
        | K::TabInIndentation
        | K::TabInPlainScalar
        | K::TabAtBlockScalarStart => ("a tab", "spaces"),
        K::UnclosedQuotedScalar | K::InvalidQuotedScalarIndent | K::DocumentIndicatorInQuotedScalar => {
            ("a quoted text without its closing quote", "the closing quote on the same line")
        }
        K::InvalidTrailingSingleQuotedScalar | K::InvalidTrailingDoubleQuotedScalar => {
            ("more text after a closing quote", "the end of the line, or `,`")
        }
        K::UnclosedFlowCollection { open: '{' } | K::UnexpectedEofFlowMapping => {
            ("`{` without its `}`", "`}`")
        }
        K::UnclosedFlowCollection { .. } | K::UnexpectedEofFlowSequence => ("`[` without its `]`", "`]`"),
        K::MisplacedFlowCollectionEnd => ("a closing bracket without an opening one", "none"),
        K::MismatchedFlowCollectionEnd { open: '{', .. } => ("`]`, though `{` is open", "`}`"),
        K::MismatchedFlowCollectionEnd { .. } => ("`}`, though `[` is open", "`]`"),
        K::ExpectedFlowMappingSeparator | K::UnexpectedEofImplicitFlowMapping => (
            "something after a value inside `{ }`",
            "`,` or `}` (a text with `{`, `}`, `[`, `]` or `,` needs quotes)",
        ),
        K::ExpectedFlowSequenceSeparator => (
            "something after a value inside `[ ]`",
            "`,` or `]` (a text with `{`, `}`, `[`, `]` or `,` needs quotes)",
        ),
        K::MappingValueNotAllowed | K::InvalidColonPlacement | K::MappingKeyNotAllowed => (
            "a second `:` where one value belongs",
            "one `key: value` a line, indented like its neighbours (a text with `: ` needs quotes)",
        ),
        K::SimpleKeyExpected | K::InvalidSimpleKey | K::ExpectedBlockMappingKey => {
            ("a line without `key:`", "`key: value`, indented like its neighbours")
        }
        K::InvalidIndentation | K::InvalidFlowScalarIndent | K::InvalidBlockScalarIndent => {
            ("a line that is indented differently", "the indentation of its neighbours")
        }
        K::ExpectedBlockSequenceEntry | K::BlockSequenceEntryNotAllowed | K::InvalidBlockEntryWhitespace => {
            ("a list item (`-`) out of place", "`- item` on lines of their own, indented alike")
        }
        K::UnknownQuotedScalarEscape
        | K::InvalidQuotedScalarHexEscape
        | K::InvalidUnicodeEscape
        | K::InvalidLowSurrogate
        | K::MissingLowSurrogate
        | K::UnpairedLowSurrogate => {
            ("an unknown `\\` inside double quotes", "`\\\\` for a backslash, or single quotes")
        }
        K::UnexpectedCharacter { character } if character.is_control() => ("a control character", "text"),
        K::UnexpectedCharacter { .. } => {
            ("a text that begins with a character YAML keeps for itself", "quotes around it")
        }
        K::UnknownAnchor => (
            "an alias (`*name`) without its anchor",
            "an anchor (`&name`) before it (a text that begins with `*` needs quotes)",
        ),
        K::CommentNotSeparated | K::CommentInterceptedScalar => {
            ("a `#` in the middle of a text", "a space before a comment, or quotes")
        }
        K::RecursionLimitExceeded => ("too many levels", "at most 16"),
        K::UnexpectedEof | K::UnexpectedEofBlockMapping | K::UnexpectedEofBlockSequence => {
            ("the end of the file", "a value")
        }
        _ => UNREADABLE,
    }
}
