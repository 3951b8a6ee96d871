//! SSH keys that new servers get.

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::answer::{Answer, Answered, Refusal};
use super::super::request::Fields;
use super::object::{self, Context, Meta, Object, kept_in};
use super::{Id, Project};

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SshKey {
    pub(crate) meta: Meta,
    pub(crate) public_key: String,
    fingerprint: String,
}

impl Object for SshKey {
    const KIND: &'static str = "ssh_key";
    const COLLECTION: &'static str = "ssh_keys";

    kept_in!(ssh_keys);

    fn view(&self, _: &Project, _: Context<'_>) -> Value {
        json!({
            "id": self.meta.id, "name": self.meta.name, "fingerprint": self.fingerprint,
            "public_key": self.public_key, "labels": self.meta.labels, "created": self.meta.created,
        })
    }
}

pub(crate) fn create(project: &mut Project, context: Context<'_>, fields: Fields<'_>) -> Answered {
    let name = fields.need_text("name")?;
    let public_key = fields.need_text("public_key")?.trim();
    let fingerprint = fingerprint(public_key)
        .ok_or_else(|| Refusal::invalid("public_key", "is not an OpenSSH public key"))?;
    if project.ssh_keys.values().any(|k| k.fingerprint == fingerprint) {
        return Err(Refusal::unique("public_key", "SSH key with the same fingerprint"));
    }
    let meta = object::begin::<SshKey>(project, context, fields, name)?;
    let id = meta.id;
    project.ssh_keys.insert(id, SshKey { meta, public_key: public_key.to_owned(), fingerprint });
    Ok(Answer::created(object::shown::<SshKey>(project, context, id)?))
}

pub(crate) fn delete(project: &mut Project, id: Id) -> Answered {
    object::get::<SshKey>(project, id)?;
    project.ssh_keys.remove(&id);
    Ok(Answer::gone())
}

/// The MD5 fingerprint, which is the one that the API shows.
fn fingerprint(public_key: &str) -> Option<String> {
    let mut words = public_key.split_whitespace();
    let (kind, data) = (words.next()?, words.next()?);
    let blob = base64(data)?;
    let length = usize::try_from(u32::from_be_bytes(blob.get(..4)?.try_into().ok()?)).ok()?;
    if blob.get(4..4 + length)? != kind.as_bytes() {
        return None;
    }
    let octets: Vec<String> = Md5::digest(&blob).iter().map(|b| format!("{b:02x}")).collect();
    Some(octets.join(":"))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for c in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|a| *a == c)?;
        bits = (bits << 6 | u32::try_from(value).ok()?) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}
