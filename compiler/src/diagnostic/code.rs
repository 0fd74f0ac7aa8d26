//! The codes of diagnostics: the one list of everything that midoform can find wrong with its input.

crate::named_codes! {
    /// The kind of a diagnostic. Its name is stable: people search for it and code hosts group findings by it.
    ///
    /// The variants stand in the order of their names, so that codes sort like their names.
    pub enum Code {
        /// An assertion's source sends no packets.
        AssertionEmpty => "assertion-empty",
        /// An assertion does not hold.
        AssertionFailed => "assertion-failed",
        /// An assertion lacks a source or a destination.
        AssertionPlace => "assertion-place",
        /// An assertion can't be decided: the tenant has too many rules.
        AssertionUndecided => "assertion-undecided",
        /// A text is not an IPv4 address.
        BadAddress => "bad-address",
        /// The site file has Keystone's domain, but its version has no domains.
        BadDomain => "bad-domain",
        /// A value is not an EtherType.
        BadEthertype => "bad-ethertype",
        /// The default gateway is a single address.
        BadGateway => "bad-gateway",
        /// A text can't be the name of a network interface.
        BadInterface => "bad-interface",
        /// The pinned addresses of a link do not form a link.
        BadLink => "bad-link",
        /// A text is not a MAC address of one interface.
        BadMac => "bad-mac",
        /// A name breaks the rules for names.
        BadName => "bad-name",
        /// A text is not an IPv4 network.
        BadNetwork => "bad-network",
        /// A path is empty.
        BadPath => "bad-path",
        /// A text is not a regular expression.
        BadPattern => "bad-pattern",
        /// A value is not a port or a range of ports.
        BadPort => "bad-port",
        /// A value is not an IP protocol.
        BadProtocol => "bad-protocol",
        /// A text is not a public address with a port.
        BadPublic => "bad-public",
        /// A text is not a range of addresses.
        BadRange => "bad-range",
        /// A tenant's `tenant_id` is not an id that MidoNet and Keystone accept.
        BadTenantId => "bad-tenant-id",
        /// A text is not a URL of the wanted form.
        BadUrl => "bad-url",
        /// A text is not a UUID.
        BadUuid => "bad-uuid",
        /// A bridge has no free address for a pod.
        BridgeFull => "bridge-full",
        /// The pool of bridge networks has no free network.
        BridgePoolFull => "bridge-pool-full",
        /// An address is its network's broadcast address.
        BroadcastAddress => "broadcast-address",
        /// A bridge's network is too large.
        CidrTooLarge => "cidr-too-large",
        /// A bridge's network is too small.
        CidrTooSmall => "cidr-too-small",
        /// Two ports of a bridge, or the tunnels of two hosts, have one address.
        DuplicateAddress => "duplicate-address",
        /// Two exposes have one public address, port and protocol.
        DuplicateExpose => "duplicate-expose",
        /// Two hosts have one id.
        DuplicateId => "duplicate-id",
        /// Two ports are bound to one interface of a host.
        DuplicateInterface => "duplicate-interface",
        /// Two tenants pin the same link addresses.
        DuplicateLink => "duplicate-link",
        /// Two ports of a bridge have one MAC address.
        DuplicateMac => "duplicate-mac",
        /// Two things of one kind have one name.
        DuplicateName => "duplicate-name",
        /// Two routes have the same destination and target.
        DuplicateRoute => "duplicate-route",
        /// An address group that a rule may name is empty.
        EmptyGroup => "empty-group",
        /// Routes have the same destination and the same weight.
        EqualRoutes => "equal-routes",
        /// An expose names no protocol, or two.
        ExposeProtocol => "expose-protocol",
        /// A rule drops or rejects the connections to an exposed port.
        ExposeShut => "expose-shut",
        /// An expose names no pod, or two.
        ExposeTarget => "expose-target",
        /// A file is too large to be read.
        FileTooLarge => "file-too-large",
        /// A network has bits set behind its prefix.
        HostBits => "host-bits",
        /// A rule matches ICMP's type 0 or code 0, which MidoNet 5.x can't.
        IcmpZero => "icmp-zero",
        /// A rule matches packets that no tenant sees.
        IdleRule => "idle-rule",
        /// An IPv6 address or network.
        Ipv6 => "ipv6",
        /// The pinned addresses of a link lie outside of the link pool.
        LinkOutsidePool => "link-outside-pool",
        /// The link pool has no free network.
        LinkPoolFull => "link-pool-full",
        /// The lock file allocates one address to two owners.
        LockClash => "lock-clash",
        /// The lock file has the marks of a merge conflict.
        LockConflict => "lock-conflict",
        /// The lock file has a value that can't be read.
        LockDamaged => "lock-damaged",
        /// The lock file is empty, or has a version that this midoform does not know.
        LockVersion => "lock-version",
        /// A required key is missing.
        MissingKey => "missing-key",
        /// The old name of something moved is still in use.
        MovedAndThere => "moved-and-there",
        /// The new name of something moved does not exist.
        MovedNowhere => "moved-nowhere",
        /// The new name of something moved is that of another thing, which exists.
        MovedOnto => "moved-onto",
        /// One thing is moved twice.
        MovedTwice => "moved-twice",
        /// A `[[moved]]` names nothing, or two things.
        MovedWhat => "moved-what",
        /// The MTU inside pods is larger than what fits the tunnels between the hosts.
        MtuTooLarge => "mtu-too-large",
        /// An address is its network's own address.
        NetworkAddress => "network-address",
        /// A route's next hop lies in none of the tenant's bridges.
        NextHopOutside => "next-hop-outside",
        /// A route's next hop is the tenant's own router.
        NextHopSelf => "next-hop-self",
        /// A file is not UTF-8.
        NotUtf8 => "not-utf8",
        /// An integer is outside of its range.
        OutOfRange => "out-of-range",
        /// An address lies outside of its bridge's network.
        OutsideNetwork => "outside-network",
        /// Two bridges of a tenant have overlapping networks.
        OverlappingNetworks => "overlapping-networks",
        /// Peers have overlapping networks.
        OverlappingPeers => "overlapping-peers",
        /// Two pools of the site overlap.
        OverlappingPools => "overlapping-pools",
        /// Two tenants have overlapping networks.
        OverlappingTenants => "overlapping-tenants",
        /// Two networks overlap that the provider router has routes to.
        OverlappingUntranslated => "overlapping-untranslated",
        /// A bridge's network overlaps the link pool.
        OverlapsLinkPool => "overlaps-link-pool",
        /// A rule names a place that OVN can't tell without a check of source addresses.
        OvnAntiSpoof => "ovn-anti-spoof",
        /// A static port is on a host whose OVN chassis is not known.
        OvnChassis => "ovn-chassis",
        /// An EtherType passes that OVN's port security drops.
        OvnEthertype => "ovn-ethertype",
        /// A tenant has more rules than OVN has priorities.
        OvnManyRules => "ovn-many-rules",
        /// OVN has no such route.
        OvnRoute => "ovn-route",
        /// OVN has no such stateless rule.
        OvnStateless => "ovn-stateless",
        /// Peers name each other in a circle, not in pairs.
        PeerCycle => "peer-cycle",
        /// A tenant is its own peer.
        PeerSelf => "peer-self",
        /// A peer does not name the tenant as its peer.
        PeerUnanswered => "peer-unanswered",
        /// The policy forbids a rule that accepts everything.
        PolicyAccept => "policy-accept",
        /// The policy forbids a value of `anti_spoof`.
        PolicyAntiSpoof => "policy-anti-spoof",
        /// The policy forbids a bridge's network.
        PolicyBridgeNetwork => "policy-bridge-network",
        /// The policy requires a label, or another value of it.
        PolicyLabel => "policy-label",
        /// The policy's limit is exceeded.
        PolicyLimit => "policy-limit",
        /// The policy's pattern does not match a name.
        PolicyName => "policy-name",
        /// The policy forbids a profile.
        PolicyProfile => "policy-profile",
        /// The policy requires a tenant to be protected.
        PolicyProtect => "policy-protect",
        /// The policy forbids a public address.
        PolicyPublicAddress => "policy-public-address",
        /// The policy forbids a public port.
        PolicyPublicPort => "policy-public-port",
        /// A pool of the site has no room for one network.
        PoolTooSmall => "pool-too-small",
        /// The site names no provider router, or two.
        ProviderRouter => "provider-router",
        /// A public address lies inside of a tenant's network.
        PublicAddressInside => "public-address-inside",
        /// A public address belongs to two tenants.
        PublicAddressTaken => "public-address-taken",
        /// A tenant's quota is exceeded.
        Quota => "quota",
        /// A route names no target, or two.
        RouteTarget => "route-target",
        /// A route's destination is a bridge's network.
        RouteToBridge => "route-to-bridge",
        /// A rule becomes too many rules of MidoNet.
        RuleTooLarge => "rule-too-large",
        /// A rule never matches: one before it matches all of its packets.
        ShadowedRule => "shadowed-rule",
        /// A stateless rule comes after a stateful one.
        StatelessOrder => "stateless-order",
        /// A file is not TOML.
        Syntax => "syntax",
        /// A tenant has the addresses of another one that has no tenant file: it was probably renamed.
        TenantRenamed => "tenant-renamed",
        /// A tenant is new, and another one was applied and has no tenant file: it was probably renamed.
        TenantWithoutFile => "tenant-without-file",
        /// One end of a rule has two selectors.
        TwoPlaces => "two-places",
        /// The two ends of a rule name different protocols.
        TwoProtocols => "two-protocols",
        /// A site has two stores.
        TwoStores => "two-stores",
        /// A table has a key that the language does not know.
        UnknownKey => "unknown-key",
        /// A name refers to nothing.
        UnknownName => "unknown-name",
        /// A peer is not a tenant of the site.
        UnknownPeer => "unknown-peer",
        /// The store does not know a tenant's Keystone project yet.
        UnknownProject => "unknown-project",
        /// MidoNet has no such version.
        UnknownVersion => "unknown-version",
        /// A value is not one of the allowed words.
        UnknownWord => "unknown-word",
        /// A file can't be read.
        UnreadableFile => "unreadable-file",
        /// An address or a network is not for hosts.
        UnusableNetwork => "unusable-network",
        /// No rule names a group.
        UnusedGroup => "unused-group",
        /// A connection that the rules forbid arrives.
        VerifyClosed => "verify-closed",
        /// A connection that the rules allow does not arrive, or its replies don't.
        VerifyConnected => "verify-connected",
        /// A rule or a route can't match.
        VerifyDead => "verify-dead",
        /// A tenant reaches another that it should not reach.
        VerifyIsolation => "verify-isolation",
        /// A pod opens connections to link addresses.
        VerifyLinks => "verify-links",
        /// Packets are in a loop.
        VerifyLoops => "verify-loops",
        /// A pod reaches the outside by a foreign address.
        VerifyOutside => "verify-outside",
        /// A packet with a spoofed source address is not dropped.
        VerifySpoofing => "verify-spoofing",
        /// Nothing is proven of a tenant: it has too many rules.
        VerifyUnproven => "verify-unproven",
        /// A value has the wrong type.
        WrongType => "wrong-type",
    }
}
