//! References in runbooks: `${inputs.x}`, `${steps.id.output}`, `${host.name}` and the like.
//!
//! Invariant: a reference is replaced inside string values of the tree and nowhere else, and what it is replaced with
//! is never looked at for references again. A string that is only one reference takes the referenced type; among
//! other text a reference becomes text. `$${` stands for `${`. What a name means is in [`super::names`].

use std::ops::Range;

use super::Value;
use super::names::{Names, RefProblem};
use crate::diagnostic::codes;
use crate::document::{Literal, Node, Tree};

/// A tree with its references replaced.
#[derive(Debug)]
pub(super) struct Replaced {
    /// The new tree. Where a reference has no value, its text stays.
    pub(super) node: Node,
    /// Where a reference stood, and the reference.
    pub(super) replaced: Vec<(Range<usize>, String)>,
    /// The references that have no value.
    pub(super) problems: Vec<(Range<usize>, RefProblem)>,
}

/// Replaces every reference in the strings of `node`.
pub(super) fn replace(node: &Node, names: &Names<'_>) -> Replaced {
    let mut result = Replaced { node: Node::empty(), replaced: Vec::new(), problems: Vec::new() };
    result.node = visit(node, names, &mut result.replaced, &mut result.problems);
    result
}

fn visit(
    node: &Node,
    names: &Names<'_>,
    replaced: &mut Vec<(Range<usize>, String)>,
    problems: &mut Vec<(Range<usize>, RefProblem)>,
) -> Node {
    let tree = match &node.tree {
        Tree::Literal(..) | Tree::Boolean(_) => return node.clone(),
        Tree::Array(nodes) => {
            Tree::Array(nodes.iter().map(|n| visit(n, names, replaced, problems)).collect())
        }
        Tree::Table(entries) => Tree::Table(
            entries.iter().map(|(k, n)| (k.clone(), visit(n, names, replaced, problems))).collect(),
        ),
        Tree::String(text) => {
            let parts = match parts(text) {
                Ok(parts) => parts,
                Err(problem) => {
                    problems.push((node.span.clone(), problem));
                    return node.clone();
                }
            };
            let mut values = Vec::new();
            for part in parts {
                match part {
                    Part::Text(text) => values.push((None, Value::Text(text))),
                    Part::Reference(reference) => match names.value(reference) {
                        Ok(value) => {
                            replaced.push((node.span.clone(), reference.to_owned()));
                            values.push((Some(reference), value));
                        }
                        Err(problem) => problems.push((node.span.clone(), problem.about(reference))),
                    },
                }
            }
            join(values, &node.span, problems)
        }
    };
    Node { span: node.span.clone(), tree }
}

/// One reference alone keeps its type; anything else is text.
fn join(
    mut values: Vec<(Option<&str>, Value)>,
    span: &Range<usize>,
    problems: &mut Vec<(Range<usize>, RefProblem)>,
) -> Tree {
    if values.len() == 1
        && let Some((Some(_), value)) = values.pop_if(|(reference, _)| reference.is_some())
    {
        return match value {
            Value::Text(text) => Tree::String(text),
            Value::Boolean(value) => Tree::Boolean(value),
            Value::Integer(number) => Tree::Literal(Literal::Integer, number.to_string()),
            Value::List(texts) => Tree::Array(
                texts.into_iter().map(|t| Node { span: span.clone(), tree: Tree::String(t) }).collect(),
            ),
        };
    }
    let mut text = String::new();
    for (reference, value) in values {
        if let (Some(reference), Value::List(_)) = (reference, &value) {
            problems.push((
                span.clone(),
                RefProblem::new(codes::RUNBOOK_ILL_TYPED_REFERENCE, format!("${{{reference}}} is a list"))
                    .help("a list cannot stand among other text: let the reference stand alone")
                    .about(reference),
            ));
        }
        text.push_str(&value.to_string());
    }
    Tree::String(text)
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(String),
    Reference(&'a str),
}

/// A text with the values of the inputs in it, where it stands by itself; none where one of them has none, or the text refers
/// to something else.
pub(crate) fn with_inputs(text: &str, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let parts = parts(text).ok()?.into_iter().map(|part| match part {
        Part::Text(text) => Some(text),
        Part::Reference(reference) => value(reference.strip_prefix("inputs.")?),
    });
    parts.collect()
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, RefProblem> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            plain.push_str(before);
            plain.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        plain.push_str(&rest[..at]);
        rest = &rest[at + 2..];
        let Some(end) = rest.find('}') else {
            return Err(RefProblem::new(codes::RUNBOOK_UNKNOWN_REFERENCE, "a reference is not closed")
                .help("close it with }, or write $${ where ${ itself is meant"));
        };
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Reference(&rest[..end]));
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() || parts.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Part, parts};

    #[test]
    fn strings_fall_apart_into_text_and_references() {
        let text = |t: &str| Part::Text(t.to_owned());
        assert_eq!(parts("").unwrap(), [text("")]);
        assert_eq!(parts("a${b.c}d").unwrap(), [text("a"), Part::Reference("b.c"), text("d")]);
        assert_eq!(parts("${a}${b}").unwrap(), [Part::Reference("a"), Part::Reference("b")]);
        assert_eq!(parts("$${HOME}").unwrap(), [text("${HOME}")]);
        assert_eq!(parts("$$${a}").unwrap(), [text("$${a}")]);
        assert_eq!(parts("$(x) $HOME $").unwrap(), [text("$(x) $HOME $")]);
        assert!(parts("${a").is_err());
    }

    proptest! {
        #[test]
        fn text_without_references_stays_as_it_is(text in "([^$]|\\$[^{$])*") {
            prop_assert_eq!(parts(&text).unwrap(), [Part::Text(text.clone())]);
        }

        #[test]
        fn escaping_brings_any_text_through(text in "[a-c${}\n]*") {
            let escaped = text.replace("${", "$${");
            // `$` before an escape is text too, so only texts without "$${" come back one to one.
            prop_assume!(!text.contains("$$"));
            prop_assert_eq!(parts(&escaped).unwrap(), [Part::Text(text.clone())]);
        }
    }
}
