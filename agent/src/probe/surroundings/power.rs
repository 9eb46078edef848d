//! Battery and heat, as the kernel tells them under `/sys/class`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use agent_core::owner::Battery;

use super::Roots;

/// Most devices of a class that are looked at.
const MAX_DEVICES: usize = 256;
/// In thousandths of a degree; what a sensor says beyond is a broken sensor.
const BELIEVED: std::ops::Range<i64> = 1..150_000;

/// Returns where the power comes from; `None` where the kernel does not tell.
pub(super) fn battery(roots: &Roots) -> Option<Battery> {
    let supplies = devices(&roots.path("sys/class/power_supply"))?;
    let text = |supply: &Path, file: &str| line(&supply.join(file));
    let is = |supply: &Path, file: &str, expect: &str| {
        text(supply, file).is_some_and(|text| text == expect)
    };
    // A mouse has a battery, too.
    let batteries: Vec<&PathBuf> = supplies
        .iter()
        .filter(|supply| is(supply, "type", "Battery") && !is(supply, "scope", "Device"))
        .collect();
    if batteries.is_empty() {
        return Some(Battery::Absent);
    }
    let plugged = supplies
        .iter()
        .any(|supply| !is(supply, "type", "Battery") && is(supply, "online", "1"));
    let drained = batteries
        .iter()
        .any(|battery| is(battery, "status", "Discharging"));
    Some(if drained && !plugged {
        Battery::Discharging
    } else {
        Battery::OnMains
    })
}

/// Returns the temperature of the hottest zone in degrees Celsius; `None` where there is none.
pub(super) fn temperature(roots: &Roots) -> Option<u32> {
    let zones = devices(&roots.path("sys/class/thermal"))?;
    let thousandths = zones
        .iter()
        .filter(|zone| {
            zone.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("thermal_zone"))
        })
        .filter_map(|zone| line(&zone.join("temp"))?.parse::<i64>().ok())
        .filter(|thousandths| BELIEVED.contains(thousandths));
    let hottest = thousandths.max()?;
    u32::try_from((hottest + 500) / 1000).ok()
}

fn devices(class: &Path) -> Option<Vec<PathBuf>> {
    let entries = fs::read_dir(class).ok()?;
    let paths = entries.flatten().map(|entry| entry.path());
    Some(paths.take(MAX_DEVICES).collect())
}

fn line(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Roots) {
        let temp = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = temp.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let roots = Roots::standing_in(temp.path(), "");
        (temp, roots)
    }

    #[test]
    fn power_comes_from_the_battery_only_when_nothing_else_gives_it() {
        // Each machine's folder goes with its guard, so each is asked while it is there.
        let ask = |files: &[(&str, &str)]| {
            let (_there, roots) = machine(files);
            battery(&roots)
        };
        assert_eq!(ask(&[]), None);
        let empty = [("sys/class/power_supply/.none", "")];
        assert_eq!(ask(&empty), Some(Battery::Absent));
        let mouse = [
            ("sys/class/power_supply/hid/type", "Battery"),
            ("sys/class/power_supply/hid/scope", "Device"),
            ("sys/class/power_supply/hid/status", "Discharging"),
        ];
        assert_eq!(ask(&mouse), Some(Battery::Absent));
        let laptop = |status: &str, online: &str| {
            ask(&[
                ("sys/class/power_supply/BAT0/type", "Battery\n"),
                ("sys/class/power_supply/BAT0/status", status),
                ("sys/class/power_supply/AC/type", "Mains\n"),
                ("sys/class/power_supply/AC/online", online),
            ])
        };
        assert_eq!(laptop("Discharging\n", "0\n"), Some(Battery::Discharging));
        assert_eq!(laptop("Charging\n", "1\n"), Some(Battery::OnMains));
        assert_eq!(laptop("Discharging\n", "1\n"), Some(Battery::OnMains));
        assert_eq!(laptop("Full\n", "0\n"), Some(Battery::OnMains));
    }

    #[test]
    fn the_hottest_zone_counts_and_broken_sensors_do_not() {
        let ask = |files: &[(&str, &str)]| {
            let (_there, roots) = machine(files);
            temperature(&roots)
        };
        assert_eq!(ask(&[]), None);
        let zones = [
            ("sys/class/thermal/thermal_zone0/temp", "41600\n"),
            ("sys/class/thermal/thermal_zone1/temp", "71400\n"),
            ("sys/class/thermal/thermal_zone2/temp", "-274000\n"),
            ("sys/class/thermal/thermal_zone3/temp", "255000\n"),
            ("sys/class/thermal/thermal_zone4/temp", "hot\n"),
            ("sys/class/thermal/cooling_device0/temp", "99000\n"),
        ];
        assert_eq!(ask(&zones), Some(71));
        assert_eq!(ask(&zones[2..]), None);
    }
}
