//! How a job reaches the network, and what its programs are told of that.

use std::path::PathBuf;

use common::status::Network;

use super::{NetworkPlan, PROXY_PORT, PlanInput};

/// What never goes through the proxy: the job's own services.
const NO_PROXY: &str = "localhost,127.0.0.1,::1";
/// Where the programs of a full network are on most machines; asked for only where the machine claimed to have them.
const SLIRP4NETNS: &str = "/usr/bin/slirp4netns";
const NFT: &str = "/usr/sbin/nft";

pub(super) fn network(input: &PlanInput<'_>) -> NetworkPlan {
    let tools = &input.host.tools;
    let or = |found: &Option<PathBuf>, usual: &str| found.clone().unwrap_or_else(|| usual.into());
    match input.spec.network {
        Network::None => NetworkPlan::None,
        Network::Internet => NetworkPlan::Proxy(input.rules.clone()),
        Network::Full => NetworkPlan::Full {
            slirp4netns: or(&tools.slirp4netns, SLIRP4NETNS),
            nft: or(&tools.nft, NFT),
            rules: input.rules.clone(),
        },
    }
}

/// Returns the variables from which programs learn of the proxy. One of the two spellings is read by each program.
///
/// The proxy speaks SOCKS at the same port, but `ALL_PROXY` does not say so: libraries without SOCKS refuse to work
/// at all where it does, even for what the other variables cover.
pub(super) fn variables(network: Network) -> Vec<(String, String)> {
    if network != Network::Internet {
        return Vec::new();
    }
    let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
    let variables = [
        ("HTTP_PROXY", proxy.as_str()),
        ("HTTPS_PROXY", &proxy),
        ("ALL_PROXY", &proxy),
        ("NO_PROXY", NO_PROXY),
    ];
    let both = |(name, value): (&str, &str)| {
        [name.to_owned(), name.to_ascii_lowercase()].map(|name| (name, value.to_owned()))
    };
    variables.into_iter().flat_map(both).collect()
}
