package acl

var policies = map[string]string{
	"Data Owner":       "+@all allkeys",
	"Data Contributor": "+@all -@dangerous +cluster|info +cluster|nodes +cluster|slots allkeys",
	"Data Reader":      "+@read +@connection +cluster|info +cluster|nodes +cluster|slots allkeys",
	"default":          "+@all ~*",
}

// Named returns the rules of a built-in access policy: "Data Owner", "Data
// Contributor" and "Data Reader" of Azure Cache for Redis (Microsoft Learn,
// "Configure custom access policies"), "default" of Azure Managed Redis.
func Named(policy string) (rules string, ok bool) {
	rules, ok = policies[policy]
	return rules, ok
}
