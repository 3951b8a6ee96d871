//! Placement groups: servers that must not share a host.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::answer::{Answer, Answered, Refusal};
use super::super::request::Fields;
use super::object::{self, Context, Meta, Object, kept_in};
use super::{Id, Project};

/// How many servers a group may hold.
const MOST: usize = 10;

/// A group; all groups are of type `spread`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlacementGroup {
    pub(crate) meta: Meta,
}

impl Object for PlacementGroup {
    const KIND: &'static str = "placement_group";
    const COLLECTION: &'static str = "placement_groups";

    kept_in!(placement_groups);

    fn view(&self, project: &Project, _: Context<'_>) -> Value {
        json!({
            "id": self.meta.id, "name": self.meta.name, "labels": self.meta.labels, "type": "spread",
            "servers": members(project, self.meta.id), "created": self.meta.created,
        })
    }
}

fn members(project: &Project, group: Id) -> Vec<Id> {
    let all = project.servers.values().filter(|s| s.placement_group == Some(group));
    all.map(|s| s.meta.id).collect()
}

pub(crate) fn create(project: &mut Project, context: Context<'_>, fields: Fields<'_>) -> Answered {
    if fields.need_text("type")? != "spread" {
        return Err(Refusal::invalid("type", "must be spread"));
    }
    let meta = object::begin::<PlacementGroup>(project, context, fields, fields.need_text("name")?)?;
    let id = meta.id;
    project.placement_groups.insert(id, PlacementGroup { meta });
    let mut body = object::shown::<PlacementGroup>(project, context, id)?;
    body["action"] = Value::Null;
    Ok(Answer::created(body))
}

pub(crate) fn delete(project: &mut Project, id: Id) -> Answered {
    object::get::<PlacementGroup>(project, id)?;
    if !members(project, id).is_empty() {
        return Err(Refusal::refused("resource_in_use", format!("placement group {id} still holds servers")));
    }
    project.placement_groups.remove(&id);
    Ok(Answer::gone())
}

/// Whether one more server finds room in the group.
pub(crate) fn has_room(project: &Project, group: Id) -> Answered<()> {
    object::get::<PlacementGroup>(project, group)?;
    if members(project, group).len() >= MOST {
        return Err(Refusal::refused(
            "placement_error",
            format!("placement group {group} holds {MOST} servers already"),
        ));
    }
    Ok(())
}
