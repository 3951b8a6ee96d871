//! Which server type can be ordered: types come and go, and are sold out for months.

use super::ObjectName;
use crate::access::hcloud::HcloudView;
use crate::diagnostic::Result;
use crate::step::Findings;
use crate::transport::hcloud::ServerType;

/// The types of a step, in its order, and whether each can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ordering {
    location: String,
    types: Vec<(String, Standing)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It can be ordered, or the API does not say.
    Available,
    SoldOut,
    /// The location never has it, or nobody has.
    NotOffered,
}

impl Ordering {
    pub(super) async fn of(cloud: &HcloudView, types: &[&ObjectName], location: &str) -> Result<Self> {
        let known = cloud.list::<ServerType>(&[]).await?;
        let standing = |name: &str| {
            let kind = known.iter().find(|kind| kind.head.name == name);
            match kind.and_then(|kind| kind.locations.iter().find(|at| at.name == location)) {
                Some(at) if at.available == Some(false) => Standing::SoldOut,
                Some(_) => Standing::Available,
                None => Standing::NotOffered,
            }
        };
        let types = types.iter().map(|name| (name.to_string(), standing(name.as_str()))).collect();
        Ok(Self { location: location.to_owned(), types })
    }

    fn with(&self, standing: Standing) -> impl Iterator<Item = &str> {
        self.types.iter().filter(move |(_, is)| *is == standing).map(|(name, _)| name.as_str())
    }

    /// What to ask for, one after the other: what is said to be available, then what is said to be sold out, for it may be
    /// back by then.
    pub(super) fn in_turn(&self) -> Vec<&str> {
        self.with(Standing::Available).chain(self.with(Standing::SoldOut)).collect()
    }

    /// The type that would be taken now, in one line.
    pub(super) fn said(&self) -> String {
        let wanted: Vec<_> = self.types.iter().map(|(name, _)| name.as_str()).collect();
        let location = &self.location;
        match self.with(Standing::Available).next() {
            Some(taken) if wanted.first() == Some(&taken) => format!("of the type {taken} in {location}"),
            Some(taken) => {
                let first = wanted.first().copied().unwrap_or_default();
                format!("of the type {taken} in {location}, for {first} cannot be had there now")
            }
            None => format!("none of the types {} can be had in {location} now", wanted.join(", ")),
        }
    }

    pub(super) fn tell(&self, findings: &mut Findings) {
        for name in self.with(Standing::NotOffered) {
            findings.warn(format!("the server type {name} is not offered in {}", self.location));
        }
        match self.with(Standing::Available).next() {
            Some(_) => findings.note(self.said()),
            None => findings.block(self.said()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ordering, Standing};

    #[test]
    fn the_first_that_can_be_had_is_taken_and_said() {
        let of = |types: &[(&str, Standing)]| Ordering {
            location: "hel1".into(),
            types: types.iter().map(|(name, standing)| ((*name).to_owned(), *standing)).collect(),
        };
        let first = of(&[("cx33", Standing::Available), ("cx23", Standing::Available)]);
        assert_eq!(first.said(), "of the type cx33 in hel1");
        let second = of(&[("cx33", Standing::SoldOut), ("cx23", Standing::Available)]);
        assert_eq!(second.said(), "of the type cx23 in hel1, for cx33 cannot be had there now");
        assert_eq!(second.in_turn(), ["cx23", "cx33"]);
        let none = of(&[("cx33", Standing::SoldOut), ("cx1", Standing::NotOffered)]);
        assert_eq!(none.said(), "none of the types cx33, cx1 can be had in hel1 now");
        assert_eq!(none.in_turn(), ["cx33"]);
    }
}
