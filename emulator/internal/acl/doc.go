// Package acl decides which commands and keys a Redis user may use, by the
// rule strings of Azure's data access policies: the Redis ACL language of
// redis.io "ACL SETUSER".
//
// The command table is generated from a running Redis 7.0 ([Redis7]). Azure
// Cache for Redis is a fork of Redis 6.0, in which an ACL sees only whole
// commands and files them under other categories ([Redis60]): there CLIENT and
// CLUSTER are administrative as a whole and SELECT is no @connection command.
// A [Rules] answers for both.
package acl

//go:generate go run ./gen -addr 127.0.0.1:6379
