//! Where registries may be. An agent stands in its owner's network, and whoever submits a job chooses the registry
//! that it asks: so it asks at public addresses alone, and inside of that network only whom its owner named. What
//! counts is the address that a name came to, and exactly those that passed are dialled.
//!
//! Where the owner has a proxy between (`HTTPS_PROXY`), that one resolves what is behind it, and decides.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use agent_core::{
    address::{Forbidden, check},
    owner::RegistryHost,
};
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use crate::proxy::own_addresses;

/// Where the owner of a machine says that everything goes through another one.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Most addresses of one name that are looked at.
const MAX_RESOLVED: usize = 64;

/// Whom images may be fetched from.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    /// A person's own choice, on that person's computer.
    Anywhere,
    /// Public addresses, and what is named.
    Public(Arc<Named>),
}

/// What may be asked wherever it is.
#[derive(Debug, Default)]
pub(crate) struct Named {
    registries: Vec<RegistryHost>,
    proxies: BTreeSet<String>,
}

/// Why a registry is not asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("{host} is at {address}, which is {why}")]
    Address {
        host: String,
        address: IpAddr,
        why: Forbidden,
    },
    #[error("{0} is another service of a computer that is named as a registry")]
    Port(String),
    #[error("the machine's own addresses are not known: {0}")]
    Interfaces(std::io::Error),
}

impl Reach {
    /// Returns what the owner of this machine lets jobs ask.
    pub(crate) fn public_and(registries: &[RegistryHost]) -> Self {
        let proxies = PROXIES.iter().filter_map(|name| std::env::var(name).ok());
        let host = |text: String| Some(Url::parse(&text).ok()?.host_str()?.to_owned());
        Self::Public(Arc::new(Named {
            registries: registries.to_vec(),
            proxies: proxies.filter_map(host).collect(),
        }))
    }

    /// Returns whether this very place was named.
    pub(super) fn names(&self, url: &Url) -> bool {
        let Self::Public(named) = self else {
            return false;
        };
        let host = url.host_str().unwrap_or_default();
        let at = |registry: &RegistryHost| {
            registry.host() == host
                && (registry.port() == url.port() || registry.port() == url.port_or_known_default())
        };
        named.registries.iter().any(at)
    }

    /// Judges a place as it is written; what a name comes to is judged when it is resolved.
    pub(super) fn judge_place(&self, url: &Url) -> Result<(), Closed> {
        let Self::Public(named) = self else {
            return Ok(());
        };
        if self.names(url) {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        // It would pass below, whatever the port.
        if named
            .registries
            .iter()
            .any(|registry| registry.host() == host)
        {
            return Err(Closed::Port(url.authority().to_owned()));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return self
                .judge_found(host, vec![SocketAddr::new(address, 0)])
                .map(drop);
        }
        Ok(())
    }

    /// Returns those of a name's addresses that may be dialled.
    fn judge_found(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Closed> {
        let Self::Public(named) = self else {
            return Ok(found);
        };
        let is_named = |registry: &RegistryHost| registry.host() == host;
        if named.proxies.contains(host) || named.registries.iter().any(is_named) {
            return Ok(found);
        }
        let own = own_addresses().map_err(Closed::Interfaces)?;
        let (mut open, mut closed) = (Vec::new(), None);
        for at in found.into_iter().take(MAX_RESOLVED) {
            match check(at.ip(), &own, &[]) {
                Ok(address) => open.push(SocketAddr::new(address, at.port())),
                Err(why) => closed = closed.or(Some((at.ip(), why))),
            }
        }
        match closed {
            Some((address, why)) if open.is_empty() => Err(Closed::Address {
                host: host.to_owned(),
                address,
                why,
            }),
            _ => Ok(open),
        }
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?.collect();
            let open = reach.judge_found(host, found)?;
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        let named = ["registry.lab:5000", "plain.lab", "10.0.0.5:5000"];
        Reach::public_and(&named.map(|text| text.parse().unwrap()))
    }

    #[test]
    fn inside_a_network_only_what_is_named_is_asked() {
        for (url, open) in [
            ("https://ghcr.io/v2/", true),
            ("https://93.184.215.14/v2/", true),
            ("https://registry.lab:5000/v2/", true),
            ("https://registry.lab/v2/", false),
            ("https://registry.lab:22/", false),
            ("https://plain.lab/v2/", true),
            ("https://plain.lab:443/v2/", true),
            ("https://plain.lab:8443/v2/", false),
            ("https://10.0.0.5:5000/v2/", true),
            ("https://10.0.0.5/v2/", false),
            ("https://10.0.0.6:5000/v2/", false),
            ("http://127.0.0.1:5000/v2/", false),
            ("https://0x7f000001/", false),
            ("https://169.254.169.254/v2/", false),
            ("https://[::1]/v2/", false),
            ("https://[::ffff:10.0.0.1]/", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(reach().judge_place(&url).is_ok(), open, "{url}");
            assert!(Reach::Anywhere.judge_place(&url).is_ok(), "{url}");
        }
    }

    #[test]
    fn of_a_names_addresses_only_the_public_ones_are_dialled() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let mixed = ["127.0.0.1", "93.184.215.14", "169.254.169.254"].map(at);
        let passed = reach().judge_found("mixed.example", mixed.to_vec());
        assert_eq!(passed.unwrap(), [at("93.184.215.14")]);
        for private in [
            "10.0.0.5",
            "192.168.1.1",
            "169.254.169.254",
            "::1",
            "fd00::1",
        ] {
            let found = vec![at(private)];
            assert!(
                reach().judge_found("a.example", found.clone()).is_err(),
                "{private}"
            );
            assert_eq!(
                reach().judge_found("plain.lab", found.clone()).unwrap(),
                found
            );
        }
    }

    #[tokio::test]
    async fn what_a_name_comes_to_is_judged_when_it_is_resolved() {
        let name = || "localhost".parse::<Name>().unwrap();
        let Err(refused) = reach().resolve(name()).await else {
            panic!("the loopback passed")
        };
        let refused = refused.to_string();
        assert!(refused.contains("a loopback address"), "{refused}");
        assert!(Reach::Anywhere.resolve(name()).await.is_ok());
    }
}
