//! What is told over the system's D-Bus: sessions at the machine's seat by logind, the kind of network by
//! NetworkManager. Signals of both wake whoever waits, so that nothing has to be asked again and again.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc, time::Duration};

use agent_core::owner::{Metered, Presence};
use common::time::Timestamp;
use futures_util::StreamExt as _;
use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use zbus::{
    Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, connection::Builder,
    message::Type, names::BusName,
};

use super::Roots;
use crate::clock;

const LOGIND: &str = "org.freedesktop.login1";
const LOGIND_PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
const NETWORK_MANAGER: &str = "org.freedesktop.NetworkManager";
const NETWORK_MANAGER_PATH: &str = "/org/freedesktop/NetworkManager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Signals that wait; which ones they are does not matter, only that there were any.
const QUEUE: NonZeroUsize = NonZeroUsize::new(16).expect("not zero");
/// Most sessions that are looked at.
const MAX_SESSIONS: usize = 64;

/// A connection to the system's bus.
#[derive(Debug)]
pub(super) struct Bus {
    connection: Connection,
    listening: Vec<JoinHandle<()>>,
    /// Since when each session is locked, as far as it was seen.
    locked: BTreeMap<String, Duration>,
    /// Since when nobody has a session at the seat.
    nobody: Option<Duration>,
}

impl Drop for Bus {
    fn drop(&mut self) {
        for task in &self.listening {
            task.abort();
        }
    }
}

type Properties = std::collections::HashMap<String, OwnedVariant>;
/// Session, user id, user name, seat, path.
type ListedSession = (String, u32, String, String, OwnedObjectPath);

impl Bus {
    /// Connects; whenever anything changes, `news` is told. `None` where there is no such bus.
    pub(super) async fn connect(roots: &Roots, news: &Arc<Notify>) -> Option<Self> {
        let connecting = async {
            let builder = match roots.system_bus() {
                Some(address) => Builder::address(address),
                None => Builder::system(),
            };
            let connection = builder.build().await?;
            let mut listening = Vec::new();
            for rule in signals()? {
                let mut stream =
                    MessageStream::for_match_rule(rule, &connection, Some(QUEUE)).await?;
                let news = Arc::clone(news);
                listening.push(tokio::spawn(async move {
                    while stream.next().await.is_some() {
                        news.notify_one();
                    }
                    // The bus is gone.
                    news.notify_one();
                }));
            }
            zbus::Result::Ok(Self {
                connection,
                listening,
                locked: BTreeMap::new(),
                nobody: None,
            })
        };
        match timeout(PATIENCE, connecting).await {
            Ok(Ok(bus)) => Some(bus),
            Ok(Err(error)) => {
                tracing::debug!(%error, "no system bus");
                None
            }
            Err(_) => None,
        }
    }

    /// Returns whether the connection has ended.
    pub(super) fn is_gone(&self) -> bool {
        self.listening.iter().any(JoinHandle::is_finished)
    }

    /// Returns whether somebody is at the machine's seat; `None` where logind does not tell.
    pub(super) async fn presence(&mut self) -> Option<Presence> {
        let asking = async {
            if !self.is_owned(LOGIND).await? {
                return Ok(None);
            }
            let (now, wall) = (clock::since_boot(), clock::now());
            let sessions = self.sessions(now, wall).await?;
            zbus::Result::Ok(Some(self.judge(&sessions, now)))
        };
        match timeout(PATIENCE, asking).await {
            Ok(Ok(presence)) => presence,
            Ok(Err(error)) => {
                tracing::debug!(%error, "logind does not tell");
                None
            }
            Err(_) => None,
        }
    }

    /// Returns whether the network is metered; `None` where NetworkManager does not tell or does not know.
    pub(super) async fn metered(&self) -> Option<Metered> {
        let asking = async {
            if !self.is_owned(NETWORK_MANAGER).await? {
                return zbus::Result::Ok(None);
            }
            let body = (NETWORK_MANAGER, "Metered");
            let path = NETWORK_MANAGER_PATH;
            let call = self
                .connection
                .call_method(Some(NETWORK_MANAGER), path, Some(PROPERTIES), "Get", &body)
                .await?;
            let value: OwnedVariant = call.body().deserialize()?;
            Ok(u32::try_from(value).ok())
        };
        // 1 and 3: yes, and guessed yes; 2 and 4: no, and guessed no; 0: unknown.
        match timeout(PATIENCE, asking).await.ok()?.ok()?? {
            1 | 3 => Some(Metered::Yes),
            2 | 4 => Some(Metered::No),
            _ => None,
        }
    }

    /// Asked first, so that nothing is started by asking it.
    async fn is_owned(&self, name: &str) -> zbus::Result<bool> {
        let owner: BusName<'_> = name.try_into()?;
        let call = self
            .connection
            .call_method(Some(BUS), BUS_PATH, Some(BUS), "NameHasOwner", &(owner))
            .await?;
        call.body().deserialize()
    }

    /// Returns, for everybody at the machine's own seat, whether and since when they are there.
    async fn sessions(&mut self, now: Duration, wall: Timestamp) -> zbus::Result<Vec<Presence>> {
        let call = self
            .connection
            .call_method(
                Some(LOGIND),
                LOGIND_PATH,
                Some(MANAGER),
                "ListSessions",
                &(),
            )
            .await?;
        let listed: Vec<ListedSession> = call.body().deserialize()?;
        let mut found = Vec::new();
        let mut locked = BTreeMap::new();
        let at_seat = listed
            .into_iter()
            .filter(|(_, _, _, seat, _)| !seat.is_empty());
        for (id, _, _, _, path) in at_seat.take(MAX_SESSIONS) {
            let call = self
                .connection
                .call_method(Some(LOGIND), &path, Some(PROPERTIES), "GetAll", &(SESSION))
                .await;
            // A session that ends meanwhile is none.
            let Ok(call) = call else { continue };
            let properties: Properties = call.body().deserialize()?;
            if !text(&properties, "Class").is_some_and(|class| class.starts_with("user")) {
                continue;
            }
            let since = moment(&properties, "IdleSinceHint", now, wall);
            if flag(&properties, "IdleHint") {
                found.push(Presence::Idle {
                    since: since.unwrap_or(now),
                });
            } else if flag(&properties, "LockedHint") {
                let since = self.locked.get(&id).copied().unwrap_or(now);
                locked.insert(id, since);
                found.push(Presence::Idle { since });
            } else {
                let began = || moment(&properties, "Timestamp", now, wall);
                found.push(Presence::Active {
                    since: since.or_else(began).unwrap_or(now),
                });
            }
        }
        self.locked = locked;
        Ok(found)
    }

    /// Takes the sessions together: somebody is there as long as anybody is.
    fn judge(&mut self, sessions: &[Presence], now: Duration) -> Presence {
        let active = sessions.iter().filter_map(|presence| match presence {
            Presence::Active { since } => Some(*since),
            Presence::Idle { .. } => None,
        });
        if let Some(since) = active.min() {
            self.nobody = None;
            return Presence::Active { since };
        }
        let idle = sessions.iter().filter_map(|presence| match presence {
            Presence::Idle { since } => Some(*since),
            Presence::Active { .. } => None,
        });
        match idle.max() {
            Some(since) => {
                self.nobody = None;
                Presence::Idle { since }
            }
            None => Presence::Idle {
                since: *self.nobody.get_or_insert(now),
            },
        }
    }
}

/// Returns what wakes: sessions that come, go and change, a network that changes, either program coming or going.
fn signals() -> zbus::Result<Vec<MatchRule<'static>>> {
    let signal = || MatchRule::builder().msg_type(Type::Signal);
    Ok(vec![
        signal().path_namespace(LOGIND_PATH).build()?,
        signal()
            .path(NETWORK_MANAGER_PATH)
            .interface(PROPERTIES)
            .build()?,
        signal()
            .sender(BUS)
            .member("NameOwnerChanged")
            .arg0ns("org.freedesktop")
            .build()?,
    ])
}

fn flag(properties: &Properties, name: &str) -> bool {
    let value = properties.get(name);
    value.is_some_and(|value| bool::try_from(value).unwrap_or(false))
}

fn text(properties: &Properties, name: &str) -> Option<String> {
    let value = properties.get(name)?;
    <&str>::try_from(value).ok().map(str::to_owned)
}

/// Returns a moment of logind's, told in microseconds of the wall clock; `None` where it is not set.
fn moment(properties: &Properties, name: &str, now: Duration, wall: Timestamp) -> Option<Duration> {
    let micros = u64::try_from(properties.get(name)?).ok()?;
    let at = Timestamp::from_unix_ms(micros / 1000);
    (micros > 0).then(|| now.saturating_sub(wall.since(at)))
}
