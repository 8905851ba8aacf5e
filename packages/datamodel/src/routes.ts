// Routes that Felix programs and that the BIRD agent has to recognise.

/**
 * The metric of the blackhole routes to the addresses of workloads that leave a host by live migration, on that host. Every other route is preferred to them. BIRD neither learns nor
 * announces them.
 */
export const blackholeMetric = 0xffff_ffff;

/**
 * The metric of the routes to a workload that leaves a host by live migration, on that host. By it BIRD knows such a route, and announces it so that the route to the workload's new host
 * wins. @param normalMetric that of the routes to all other workloads
 */
export const leavingMetric = (normalMetric: number): number => normalMetric + 1;
