package doctor_test

import (
	"fmt"
	"net"
	"time"

	"github.com/entraredis/entraredis/doctor"
	"github.com/entraredis/entraredis/emulator"
)

func redisError(endpoint, command, line string) func(*patient) {
	return setFault(emulator.Fault{Endpoint: endpoint, Command: command, Body: line})
}

// username has the doctor give one itself.
func username(name string) func(*patient) {
	return func(p *patient) { p.o.Username = name }
}

const someGroup = "90000000-0000-4000-8000-000000000009"

// withPolicy gives the principal another access policy.
func withPolicy(policy string) func(*patient) {
	return func(p *patient) {
		if err := p.SetPolicy("app", policy); err != nil {
			p.t.Error(err)
		}
	}
}

var authFaults = []fault{
	{name: "identity not assigned", check: "auth", anchor: "not-assigned", remedy: "Data Access Configuration > Redis Users: add " + emulator.UnassignedObjectID,
		provoke: func(p *patient) { p.as("unassigned") }},
	{name: "identity not assigned, Azure Managed Redis", options: emulator.Options{Flavor: emulator.FlavorAMR}, check: "auth", anchor: "not-assigned", remedy: "Authentication > Microsoft Entra Authentication and add " + emulator.UnassignedObjectID,
		provoke: func(p *patient) { p.as("unassigned") }},
	{name: "Entra authentication off", check: "auth", anchor: "not-assigned", remedy: "the box must be selected",
		provoke: func(p *patient) { p.SetEntra(false) }},
	{name: "foreign tenant", check: "auth", anchor: "not-assigned", remedy: "Compare the tenant",
		provoke: claims(map[string]any{"tid": foreignTenant, "iss": "https://sts.windows.net/" + foreignTenant + "/"})},
	{name: "client ID as username", check: "auth", anchor: "client-id-as-username", remedy: "Use " + emulator.AppObjectID + ", the object ID of the service principal",
		provoke: username(emulator.AppClientID)},
	{name: "user principal name as username", check: "auth", anchor: "upn-as-username", remedy: "Use the object ID " + emulator.UserObjectID,
		provoke: func(p *patient) {
			p.as("ada")
			p.o.Username = emulator.UserUPN
		}},
	{name: "group as username", check: "auth", anchor: "group", remedy: "groups cannot be users",
		provoke: func(p *patient) {
			claims(map[string]any{"groups": []string{someGroup}})(p)
			p.o.Username = someGroup
		}},
	{name: "object ID of somebody else", check: "auth", anchor: "wrong-username", remedy: "Use the object ID " + emulator.AppObjectID,
		provoke: username(emulator.ReaderObjectID)},
	{name: "AUTH slow", options: emulator.Options{AuthDelay: 4 * time.Second}, check: "auth", status: doctor.Warning, anchor: "slow-auth", remedy: "at least 15 seconds"},
	{name: "AUTH without answer", check: "auth", anchor: "auth-timeout", remedy: "The service may take 10 seconds", within: 20 * time.Second,
		provoke: setFault(emulator.Fault{Endpoint: "redis-auth", Hang: true})},
	{name: "AUTH reset", sockets: true, check: "auth", anchor: "auth-reset", remedy: "looks into the stream",
		provoke: setFault(emulator.Fault{Endpoint: "redis-auth", Reset: true})},
	{name: "too many clients", check: "auth", anchor: "max-clients", remedy: "Open fewer connections",
		provoke: redisError("redis-auth", "", "ERR max number of clients reached")},
	{name: "Redis without users", check: "auth", anchor: "odd-refusal", remedy: "not a proxy's or another Redis",
		provoke: redisError("redis-auth", "", "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")},
	{name: "issuer's clock ran ahead since", check: "token", status: doctor.Warning, then: "auth", anchor: "clock-skew", remedy: "Synchronise the clock",
		options: emulator.Options{TokenLifetime: 2 * time.Minute},
		provoke: func(p *patient) {
			// The token is of before, the Date header of after.
			p.onBegin = func(check string) {
				if check == "token" {
					p.Advance(4 * time.Minute)
				}
			}
		}},
	{name: "HELLO refused", options: emulator.Options{RefuseHello: true}, check: "auth", status: doctor.Warning, anchor: "no-hello", remedy: "Set clients to RESP2"},
	{name: "policy without HELLO and PING", check: "auth", status: doctor.Warning, anchor: "no-connection-category", remedy: "Add +@connection",
		provoke: withPolicy("+@read +@write ~*")},
	{name: "cut off at HELLO", sockets: true, check: "auth", anchor: "cut-off", remedy: "a failover ends connections so",
		provoke: setFault(emulator.Fault{Endpoint: "redis-command", Command: "HELLO", Reset: true})},
}

func slots(addrs ...string) string {
	s := fmt.Sprintf("*%d\r\n", len(addrs))
	for i, a := range addrs {
		host, port, _ := net.SplitHostPort(a)
		s += fmt.Sprintf("*3\r\n:%d\r\n:%d\r\n*3\r\n$%d\r\n%s\r\n:%s\r\n$2\r\nid\r\n", i*100, i*100+99, len(host), host, port)
	}
	return s
}

var laterFaults = []fault{
	{name: "Data Reader", check: "permissions", status: doctor.Warning, anchor: "read-only", remedy: "Data Contributor",
		provoke: withPolicy(emulator.PolicyDataReader)},
	{name: "policy without PING", check: "permissions", status: doctor.Warning, anchor: "no-ping", remedy: "+ping",
		provoke: withPolicy("+@all -ping allkeys")},
	{name: "policy without scripts", check: "permissions", status: doctor.Warning, anchor: "no-permission", remedy: "+@scripting",
		provoke: withPolicy("+@all -@scripting allkeys")},
	{name: "key pattern", check: "permissions", status: doctor.Warning, anchor: "key-unknown", remedy: "--key <name>",
		provoke: withPolicy("+@all ~app:*")},
	{name: "key pattern, key of the program", check: "permissions", status: doctor.Warning, anchor: "key-pattern", remedy: "Add a pattern that fits",
		provoke: func(p *patient) {
			withPolicy("+@all ~app:*")(p)
			p.o.Key = "orders:1"
		}},
	{name: "nothing permitted", check: "permissions", anchor: "nothing-permitted", remedy: "Data Reader, Data Contributor or Data Owner",
		provoke: withPolicy("+@connection ~*")},
	{name: "memory full", check: "permissions", anchor: "write-probe", remedy: "OOM is a full cache",
		provoke: func(p *patient) {
			p.o.WriteProbe = true
			p.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "SET", Body: "ERR syntax error", Count: 1}) // the permission's
			redisError("redis-command", "SET", "OOM command not allowed when used memory > 'maxmemory'.")(p)
		}},
	{name: "write not permitted", check: "permissions", anchor: "write-not-permitted", remedy: "leave --write-probe out",
		provoke: func(p *patient) {
			p.o.WriteProbe = true
			p.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "SET", Body: "ERR syntax error", Count: 1})
			redisError("redis-command", "SET", "NOPERM this user has no permissions to access one of the keys used as arguments")(p)
		}},
	{name: "cut off at a command", sockets: true, check: "permissions", anchor: "cut-off", remedy: "a failover ends connections so",
		provoke: setFault(emulator.Fault{Endpoint: "redis-command", Command: "GET", Reset: true})},
	{name: "node without answer", sockets: true, check: "topology", anchor: "node-unreachable", remedy: "15000 and up",
		provoke: func(p *patient) {
			closed, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				p.t.Fatal(err)
			}
			closed.Close()
			reply("CLUSTER SLOTS", slots(p.RedisAddr(), closed.Addr().String()))(p)
		}},
	{name: "node of another cache", sockets: true, check: "topology", anchor: "node-unverified", remedy: "Check that nothing in between answers",
		provoke: func(p *patient) {
			other := emulator.RunT(p.t, emulator.Options{Flavor: emulator.FlavorAMR})
			reply("CLUSTER SLOTS", slots(p.RedisAddr(), other.RedisAddr()))(p)
		}},
	{name: "nodes not to be known", check: "topology", status: doctor.Warning, anchor: "cluster-slots", remedy: "+cluster|slots",
		provoke: withPolicy("+@all -cluster allkeys")},
	{name: "issuer gone while the token ends", options: emulator.Options{TokenLifetime: 20 * time.Second}, check: "endurance", anchor: "dropped-at-expiry", remedy: "Mend what kept a new token away",
		provoke: func(p *patient) {
			p.o.Watch = time.Minute
			p.onBegin = func(check string) {
				if check == "endurance" {
					p.SetFault(emulator.Fault{Endpoint: "token", Status: 400, Body: `{"error":"invalid_client"}`})
				}
			}
		}},
	{name: "issuer gone for a while", options: emulator.Options{TokenLifetime: 20 * time.Second}, check: "endurance", status: doctor.Warning, anchor: "refresh-troubled", remedy: "Nothing is lost as long as it passes",
		provoke: func(p *patient) {
			p.o.Watch = time.Minute
			p.onBegin = func(check string) {
				if check == "endurance" {
					p.SetFault(emulator.Fault{Endpoint: "token", Status: 400, Body: `{"error":"invalid_client"}`, Count: 1})
				}
			}
		}},
	{name: "cut off while watched", check: "endurance", anchor: "dropped", remedy: "Clients must reconnect",
		provoke: func(p *patient) {
			p.o.Watch = time.Minute
			p.onBegin = func(check string) {
				if check == "endurance" {
					p.SetFault(emulator.Fault{Endpoint: "redis-command", Command: "PING", Reset: true})
				}
			}
		}},
	{name: "watched too short", check: "endurance", status: doctor.Warning, anchor: "watched-too-short", remedy: "Watch longer",
		provoke: func(p *patient) { p.o.Watch = 10 * time.Second }},
}
