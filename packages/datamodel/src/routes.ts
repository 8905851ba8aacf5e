// Routes that Felix programs and that the BIRD agent has to recognise.

/**
 * The metric of the blackhole routes to the addresses of workloads that leave a host by live migration, on that host. Every other route is preferred to them. BIRD neither learns nor
 * announces them.
 */
export const blackholeMetric = 0xffff_ffff;
