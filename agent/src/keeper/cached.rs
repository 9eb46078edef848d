//! Answers the owner's questions about the cache.

use agent_core::cache_plan::Item;
use common::{code::Code, problem::Problem, units::Bytes};

use crate::{
    control::{
        CacheAnswer, CacheContent, CacheEntry, CacheKind, CacheRequest, ControlAnswer, Evicted,
        MAX_SHOWN,
    },
    transfer::{Cache, Listed},
};

/// Digits of an id that name something, at least.
const LEAST_DIGITS: usize = 6;
/// Things that are named where one name fits several.
const NAMED: usize = 3;

/// Returns the answer. Blocks.
pub(super) fn answer(cache: &Cache, request: &CacheRequest) -> ControlAnswer {
    let all = cache.list();
    let chosen = match request {
        CacheRequest::List => {
            let content = CacheContent {
                entries: all.iter().take(MAX_SHOWN).map(shown).collect(),
                used: cache.used(),
                limit: cache.limit(),
                fetch_rate: cache.fetch_rate(),
            };
            return ControlAnswer::Cache(CacheAnswer::Content(content));
        }
        CacheRequest::EvictIdle => Ok(all.iter().filter(|listed| !listed.pinned).collect()),
        CacheRequest::Evict { which } => chosen(&all, which),
    };
    let chosen: Vec<&Listed> = match chosen {
        Ok(chosen) => chosen,
        Err(problem) => return ControlAnswer::Refused(problem),
    };
    let before = cache.used();
    let items: Vec<Item> = chosen.iter().map(|listed| listed.item).collect();
    let gone = cache.evict(&items);
    let entries = chosen
        .into_iter()
        .filter(|listed| gone.contains(&listed.item));
    ControlAnswer::Cache(CacheAnswer::Evicted(Evicted {
        entries: entries.take(MAX_SHOWN).map(shown).collect(),
        freed: Bytes(before.0.saturating_sub(cache.used().0)),
    }))
}

/// Returns what is meant by each of these; nothing of it is in use.
fn chosen<'a>(all: &'a [Listed], which: &[String]) -> Result<Vec<&'a Listed>, Problem> {
    let mut chosen: Vec<&Listed> = Vec::new();
    for name in which {
        for one in find(all, name)? {
            if one.pinned {
                let what = format!("{} cannot be evicted", called(one));
                return Err(Problem::new(
                    Code::InUse,
                    what,
                    "a job on this machine uses it",
                ));
            }
            if !chosen.contains(&one) {
                chosen.push(one);
            }
        }
    }
    Ok(chosen)
}

/// Returns the one thing that has this name, or whose id begins so; all versions of a dataset that is named without one.
fn find<'a>(all: &'a [Listed], name: &str) -> Result<Vec<&'a Listed>, Problem> {
    let begins = |listed: &Listed| name.len() >= LEAST_DIGITS && id(listed.item).starts_with(name);
    let fits = |listed: &&Listed| listed.name == name || begins(listed);
    let found: Vec<&Listed> = all.iter().filter(fits).collect();
    let is_version = |listed: &&Listed| {
        let version = listed.name.strip_prefix(name);
        version.is_some_and(|version| version.starts_with('@'))
    };
    let versions: Vec<&Listed> = all.iter().filter(is_version).collect();
    if found.is_empty() && !versions.is_empty() {
        return Ok(versions);
    }
    let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    let what = format!("there is no {name} in this machine's cache");
    match found.as_slice() {
        [_] => Ok(found),
        [] => Err(
            Problem::new(Code::NotFound, what, "nothing has that name or id")
                .help("`compute-share cache list` shows what is there."),
        ),
        many => {
            let some = many.iter().take(NAMED).map(|listed| id(listed.item));
            let why = format!(
                "it may be any of {}: {}",
                many.len(),
                some.collect::<Vec<_>>().join(", ")
            );
            let what = format!("{name} is not one thing in this machine's cache");
            Err(Problem::new(Code::NotFound, what, why).help("Give more of its id."))
        }
    }
}

fn id(item: Item) -> String {
    match item {
        Item::Image(digest) => digest.to_string(),
        Item::Imported(tree) | Item::Tree(tree) => tree.to_string(),
    }
}

fn called(listed: &Listed) -> String {
    match listed.name.as_str() {
        "" => id(listed.item),
        name => name.to_owned(),
    }
}

fn shown(listed: &Listed) -> CacheEntry {
    CacheEntry {
        id: id(listed.item),
        kind: match listed.item {
            Item::Tree(_) => CacheKind::Data,
            Item::Image(_) | Item::Imported(_) => CacheKind::Image,
        },
        name: listed.name.clone(),
        size: Bytes(listed.alone.0.saturating_add(listed.shared.0)),
        shared: listed.shared,
        last_used_at: listed.last_used,
        in_use: listed.pinned,
        complete: listed.whole,
    }
}

#[cfg(test)]
mod tests {
    use common::{id::TreeId, time::Timestamp};

    use super::*;

    fn listed(number: u8, name: &str, pinned: bool) -> Listed {
        Listed {
            item: Item::Tree(TreeId::new([number; 32])),
            name: name.to_owned(),
            alone: Bytes(7),
            shared: Bytes(5),
            last_used: Timestamp::from_unix_ms(0),
            pinned,
            whole: true,
        }
    }

    #[test]
    fn things_are_meant_by_name_or_by_the_beginning_of_their_id() {
        let all = [
            listed(0x11, "digits@1", false),
            listed(0x12, "digits@2", true),
            listed(0x13, "", false),
        ];
        let meant = |which: &[&str]| {
            let which: Vec<String> = which.iter().map(|name| (*name).to_owned()).collect();
            chosen(&all, &which)
                .map(|chosen| chosen.len())
                .map_err(|problem| problem.code)
        };
        assert_eq!(meant(&["digits@1", "131313", "digits@1"]), Ok(2));
        assert_eq!(meant(&["digits@1", "digits@2"]), Err(Code::InUse));
        assert_eq!(meant(&["digit"]), Err(Code::NotFound));
        assert_eq!(meant(&["digits"]), Err(Code::InUse));
        assert_eq!(meant(&["1313"]), Err(Code::NotFound));
        let twice = [
            listed(0x11, "digits@1", false),
            listed(0x12, "digits@1", false),
        ];
        assert_eq!(find(&twice, "digits").map(|versions| versions.len()), Ok(2));
        let problem = find(&twice, "digits@1").unwrap_err();
        assert!(problem.why.contains("any of 2: 1111"), "{problem}");
    }
}
