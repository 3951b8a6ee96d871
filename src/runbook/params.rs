//! From a table of parameters to a typed action or probe, with every complaint in plain words.

use std::ops::Range;

use toml::de::ValueDeserializer;

use crate::diagnostic::{Code, codes};
use crate::document::{Found, Node, Tree, suggest};
use crate::secret::{HOW_TO_REFER, IN_CLEAR};

/// Parses `node` as the kind `kind`. Unknown keys are all remarked, since serde would stop at the first one.
pub(super) fn parse<T>(
    found: &mut Found,
    kind: &str,
    mut node: Node,
    replaced: &[(Range<usize>, String)],
    parse: impl Fn(&str, ValueDeserializer<'_>) -> Result<T, toml::de::Error>,
) -> Option<T> {
    let mut sound = true;
    loop {
        let error = match node.deserializer().and_then(|parameters| parse(kind, parameters)) {
            Ok(typed) => return sound.then_some(typed),
            Err(error) => error,
        };
        sound = false;
        let span = error.span().unwrap_or_else(|| node.span.clone());
        let again = match quoted(error.message(), "unknown field ") {
            Some((field, known)) => {
                found
                    .add(codes::FILE_UNKNOWN_KEY, format!("{kind} has no key {field:?}"))
                    .at(span.clone(), "not known")
                    .help(suggest(field, &known));
                remove(&mut node, field, &span)
            }
            None => {
                remark(found, kind, &error, &node, span, replaced);
                false
            }
        };
        if !again {
            return None;
        }
    }
}

fn remark(
    found: &mut Found,
    kind: &str,
    error: &toml::de::Error,
    node: &Node,
    span: Range<usize>,
    replaced: &[(Range<usize>, String)],
) {
    let message = error.message();
    // Also where the reference is not one: what stands in its place may be the secret.
    if message.contains(IN_CLEAR) || message.contains("a reference to a secret") {
        hide(found, node, &span);
        found
            .add(codes::SECRET_IN_CLEAR, format!("{kind}: {IN_CLEAR}"))
            .at(span, "not shown")
            .help(HOW_TO_REFER);
        return;
    }
    // A long text would drown what is said about it.
    let message: String = message.chars().take(300).collect();
    let reference = replaced.iter().find(|(at, _)| *at == span).map(|(_, reference)| reference);
    let invalid = message.starts_with("invalid type") || message.starts_with("invalid value");
    let code: Code = match (&message, reference) {
        (_, Some(_)) if invalid => codes::RUNBOOK_ILL_TYPED_REFERENCE,
        (m, _) if m.starts_with("a bare number") => codes::FILE_BARE_NUMBER,
        (m, _) if m.starts_with("missing field") => codes::FILE_MISSING_KEY,
        (m, _) if m.starts_with("invalid type") => codes::FILE_ILL_TYPED,
        _ => codes::FILE_BAD_VALUE,
    };
    let help = match (reference, quoted(&message, "unknown variant ")) {
        (Some(reference), _) => Some(format!("what stands here is the value of ${{{reference}}}")),
        (None, Some((word, known))) => Some(suggest(word, &known)),
        (None, None) => None,
    };
    found.add(code, format!("{kind}: {message}")).at(span, "here").help_if(help);
}

/// Hides every value at `span`, which may be that of a table's header.
fn hide(found: &mut Found, node: &Node, span: &Range<usize>) {
    if node.span == *span {
        found.mask_values(node);
        return;
    }
    match &node.tree {
        Tree::Table(entries) => entries.iter().for_each(|(_, node)| hide(found, node, span)),
        Tree::Array(nodes) => nodes.iter().for_each(|node| hide(found, node, span)),
        Tree::String(_) | Tree::Literal(..) | Tree::Boolean(_) => {}
    }
}

/// Takes serde's ``unknown field `a`, expected `b` or `c` `` apart.
fn quoted<'a>(message: &'a str, begin: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let mut quoted = message.strip_prefix(begin)?.split('`').skip(1).step_by(2);
    let word = quoted.next()?;
    Some((word, quoted.collect()))
}

/// Removes the entry that was complained about; false where it cannot be found.
fn remove(node: &mut Node, field: &str, span: &Range<usize>) -> bool {
    match &mut node.tree {
        Tree::Table(entries) => {
            let at = entries.iter().position(|(key, _)| key.text == field && key.span == *span);
            match at {
                Some(at) => {
                    entries.remove(at);
                    true
                }
                None => entries.iter_mut().any(|(_, node)| remove(node, field, span)),
            }
        }
        Tree::Array(nodes) => nodes.iter_mut().any(|node| remove(node, field, span)),
        Tree::String(_) | Tree::Literal(..) | Tree::Boolean(_) => false,
    }
}
