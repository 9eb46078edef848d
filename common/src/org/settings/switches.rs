//! Settings that widen what a role may do.

use std::fmt;

use super::OrgSettings;

macro_rules! switches {
    ($($name:ident $field:ident)*) => {
        /// A setting that widens what a role may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Switch { $($name,)* }

        impl Switch {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the setting's key.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($field),)* }
            }

            pub const fn is_on(self, settings: &OrgSettings) -> bool {
                match self { $(Self::$name => settings.$field,)* }
            }
        }
    };
}

switches! {
    MembersMayInvite members_may_invite
    MembersMayCreateClusters members_may_create_clusters
    MembersMayOpenPorts members_may_open_ports
    AdminsMayManageAdmins admins_may_manage_admins
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
