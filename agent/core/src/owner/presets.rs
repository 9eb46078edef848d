//! Rules that fit most owners; what an owner writes besides wins over them key by key.

use common::time::Span;

use super::{
    Hours, OwnerRules, Percent,
    keys::word,
    when::{GpuUse, OnReturn, OtherUse, PresentUse},
};

/// A set of rules with a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preset {
    /// At every moment; jobs run beside the owner's programs with the lowest weight.
    #[default]
    Always,
    /// From ten in the evening to six in the morning.
    Night,
    /// After three minutes without anybody at the keyboard.
    Idle,
    /// After fifteen minutes without anybody at the keyboard, not while other programs are busy, and never the
    /// GPUs while the owner is there.
    Desktop,
    /// As a desktop, and neither on battery nor over a metered network nor when it is hot.
    Laptop,
}

word!(Preset {
    "always" => Always,
    "night" => Night,
    "idle" => Idle,
    "desktop" => Desktop,
    "laptop" => Laptop,
});

impl Preset {
    /// Returns the rules of this preset.
    pub fn rules(self) -> OwnerRules {
        let mut rules = OwnerRules {
            preset: self,
            ..OwnerRules::default()
        };
        match self {
            Self::Always => {}
            Self::Night => rules.when.hours = "22:00-06:00".parse::<Hours>().ok(),
            Self::Idle => {
                rules.when.idle_for = Some(Span::from_secs(180));
                rules.yielding.on_return = OnReturn::Freeze;
                rules.yielding.continue_after = Span::from_secs(60);
            }
            Self::Desktop | Self::Laptop => {
                rules.when.idle_for = Some(Span::from_secs(900));
                rules.when.other_cpu_over = Some(Percent::new(50));
                rules.yielding.on_return = OnReturn::Freeze;
                rules.gpu_use = GpuUse {
                    while_present: PresentUse::Withhold,
                    while_used_by_others: OtherUse::Evict,
                };
            }
        }
        if self == Self::Laptop {
            rules.when.not_on_battery = true;
            rules.when.not_on_metered = true;
            rules.when.max_temperature = Some(90);
        }
        rules
    }
}
