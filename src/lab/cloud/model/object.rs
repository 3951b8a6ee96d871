//! What all objects have in common: id, name, labels, protection; and what can be done with each of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::answer::{Answer, Answered, Refusal};
use super::super::list::{self, Selector};
use super::super::request::{Fields, Request};
use super::super::wire::Seen;
use super::{Id, Project};

/// What a request is judged by, beside the project.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) seen: &'a Seen,
    pub(crate) now: Timestamp,
}

/// What every object has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) created: String,
    /// Protected against deletion.
    pub(crate) protected: bool,
}

/// A time as the API writes it.
pub(crate) fn stamp(now: Timestamp) -> String {
    format!("{now:.0}")
}

/// One kind of object.
pub(crate) trait Object: Sized {
    /// What an action's `resources` call it.
    const KIND: &'static str;
    /// What its list is called, in the path and in the document.
    const COLLECTION: &'static str;

    fn all(project: &Project) -> &BTreeMap<Id, Self>;
    fn all_mut(project: &mut Project) -> &mut BTreeMap<Id, Self>;
    fn meta(&self) -> &Meta;
    fn meta_mut(&mut self) -> &mut Meta;
    /// As the API shows it.
    fn view(&self, project: &Project, context: Context<'_>) -> Value;
}

/// In an `impl Object`: which map of the project holds this kind, and the parts that follow from it.
macro_rules! kept_in {
    ($map:ident) => {
        fn all(project: &super::Project) -> &std::collections::BTreeMap<super::Id, Self> {
            &project.$map
        }

        fn all_mut(project: &mut super::Project) -> &mut std::collections::BTreeMap<super::Id, Self> {
            &mut project.$map
        }

        fn meta(&self) -> &super::object::Meta {
            &self.meta
        }

        fn meta_mut(&mut self) -> &mut super::object::Meta {
            &mut self.meta
        }
    };
}
pub(super) use kept_in;

/// The object, or `not_found`.
pub(crate) fn get<T: Object>(project: &Project, id: Id) -> Answered<&T> {
    T::all(project).get(&id).ok_or_else(|| Refusal::not_found(T::KIND, id))
}

/// The object to change, or `not_found`.
pub(crate) fn get_mut<T: Object>(project: &mut Project, id: Id) -> Answered<&mut T> {
    T::all_mut(project).get_mut(&id).ok_or_else(|| Refusal::not_found(T::KIND, id))
}

/// The object to change, where no action is running on it.
pub(crate) fn unlocked<T: Object>(project: &Project, id: Id) -> Answered<&T> {
    let object = get::<T>(project, id)?;
    if project.is_locked(T::KIND, id) {
        return Err(Refusal::locked(T::KIND, id));
    }
    Ok(object)
}

/// The object to delete, where it is neither locked nor protected.
pub(crate) fn deletable<T: Object>(project: &Project, id: Id) -> Answered<&T> {
    if get::<T>(project, id)?.meta().protected {
        return Err(Refusal::protected(T::KIND, id));
    }
    unlocked::<T>(project, id)
}

pub(crate) fn list<T: Object>(project: &Project, context: Context<'_>, request: &Request) -> Answered {
    let views = T::all(project).values().map(|o| o.view(project, context)).collect();
    list::page(T::COLLECTION, views, request)
}

/// A document with one object, under its kind's name.
pub(crate) fn shown<T: Object>(project: &Project, context: Context<'_>, id: Id) -> Answered<Value> {
    Ok(json!({ T::KIND: get::<T>(project, id)?.view(project, context) }))
}

/// PUT: the name and the labels, each where it is given.
pub(crate) fn update<T: Object>(
    project: &mut Project,
    context: Context<'_>,
    id: Id,
    fields: Fields<'_>,
) -> Answered {
    get::<T>(project, id)?;
    if let Some(name) = fields.text("name")? {
        let other = T::all(project).values().any(|o| o.meta().name == name && o.meta().id != id);
        if other {
            return Err(Refusal::unique("name", "name"));
        }
        name_is_fine(name)?;
        get_mut::<T>(project, id)?.meta_mut().name = name.to_owned();
    }
    if let Some(labels) = fields.labels()? {
        get_mut::<T>(project, id)?.meta_mut().labels = labels;
    }
    Ok(Answer::ok(shown::<T>(project, context, id)?))
}

/// What a new object of a kind begins with; its name must be free.
pub(crate) fn begin<T: Object>(
    project: &mut Project,
    context: Context<'_>,
    fields: Fields<'_>,
    name: &str,
) -> Answered<Meta> {
    name_is_fine(name)?;
    if T::all(project).values().any(|o| o.meta().name == name) {
        return Err(Refusal::unique("name", &format!("{} name", T::KIND.replace('_', " "))));
    }
    let labels = fields.labels()?.unwrap_or_default();
    let (id, created) = (project.new_id(), stamp(context.now));
    Ok(Meta { id, name: name.to_owned(), labels, created, protected: false })
}

fn name_is_fine(name: &str) -> Answered<()> {
    if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
        return Err(Refusal::invalid("name", "must be 1 to 128 characters"));
    }
    Ok(())
}

pub(crate) fn selects(selector: &str, labels: &BTreeMap<String, String>) -> bool {
    Selector::parse(selector).is_ok_and(|s| s.matches(&json!(labels)))
}
