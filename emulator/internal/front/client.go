package front

import (
	"fmt"
	"strings"
)

const badName = "ERR Client names cannot contain spaces, newlines or special characters."

// validName is Redis's rule: printable ASCII without spaces.
func validName(name string) bool {
	for _, b := range []byte(name) {
		if b < '!' || b > '~' {
			return false
		}
	}
	return true
}

func (c *conn) setName(name string) {
	c.mu.Lock()
	c.name = name
	c.mu.Unlock()
}

// client answers CLIENT, whose arity has been checked.
func (c *conn) client(sub string, args [][]byte) {
	switch sub {
	case "setname":
		if name := string(args[2]); validName(name) {
			c.setName(name)
			c.sayOK()
		} else {
			c.sayError(badName)
		}
	case "getname":
		if name := c.clientName(); name != "" {
			c.say(bulk(name))
		} else {
			c.say(c.null())
		}
	case "setinfo":
		c.setInfo(strings.ToLower(string(args[2])), string(args[3]), args[2])
	case "id":
		c.say(integer(c.id))
	case "info":
		c.say(c.verbatim(c.describe() + "\n"))
	case "list":
		c.list(args[2:])
	case "reply":
		c.setReply(strings.ToLower(string(args[2])))
	case "no-evict", "no-touch":
		switch strings.ToLower(string(args[2])) {
		case "on", "off":
			c.sayOK()
		default:
			c.sayError("ERR syntax error")
		}
	default:
		c.notEmulated("CLIENT", sub)
	}
}

// setReply is CLIENT REPLY ON|OFF|SKIP, of which only ON is answered.
func (c *conn) setReply(mode string) {
	switch mode {
	case "on":
		c.replyOff, c.mute = false, false
		c.sayOK()
	case "off":
		c.replyOff = true
	case "skip":
		c.skip = !c.replyOff
	default:
		c.sayError("ERR syntax error")
	}
}

func (c *conn) setInfo(attribute, value string, given []byte) {
	if attribute != "lib-name" && attribute != "lib-ver" {
		c.sayError(fmt.Sprintf("ERR Unrecognized option '%s'", given))
		return
	}
	if !validName(value) {
		c.sayError(fmt.Sprintf("ERR %s cannot contain spaces, newlines or special characters.", attribute))
		return
	}
	c.mu.Lock()
	if attribute == "lib-name" {
		c.libName = value
	} else {
		c.libVer = value
	}
	c.mu.Unlock()
	c.sayOK()
}

// list answers CLIENT LIST [TYPE type] [ID id ...].
func (c *conn) list(options [][]byte) {
	wanted := func(*conn) bool { return true }
	if len(options) > 1 {
		switch what := strings.ToLower(string(options[0])); {
		case what == "id":
			ids := map[string]bool{}
			for _, o := range options[1:] {
				ids[string(o)] = true
			}
			wanted = func(o *conn) bool { return ids[fmt.Sprint(o.id)] }
		case what == "type" && len(options) == 2:
			kind := strings.ToLower(string(options[1]))
			wanted = func(o *conn) bool {
				return kind == "pubsub" == o.subscribed() && (kind == "pubsub" || kind == "normal")
			}
		default:
			c.sayError("ERR syntax error")
			return
		}
	} else if len(options) == 1 {
		c.sayError("ERR syntax error")
		return
	}
	var b strings.Builder
	for _, o := range c.s.open() {
		if wanted(o) {
			b.WriteString(o.describe() + "\n")
		}
	}
	c.say(c.verbatim(b.String()))
}

func (c *conn) clientName() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// describe is the connection's line in CLIENT LIST.
func (c *conn) describe() string {
	now := c.s.cfg.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	user, subs, psubs := "(superuser)", 0, 0
	if c.session != nil {
		user = c.session.Username
	}
	for _, l := range c.legs {
		psubs += l.count("psubscribe")
		subs += l.count("subscribe")
	}
	flags := "N"
	if subs+psubs > 0 {
		flags = "P"
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s name=%s age=%d flags=%s sub=%d psub=%d cmd=%s user=%s lib-name=%s lib-ver=%s",
		c.id, c.nc.RemoteAddr(), c.nc.LocalAddr(), c.name, int(now.Sub(c.start).Seconds()), flags, subs, psubs, c.lastName, user, c.libName, c.libVer)
}

func (c *conn) info() Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := Conn{ID: c.id, AuthCount: c.auths, RemoteAddr: c.nc.RemoteAddr().String()}
	if c.session != nil {
		i.Username, i.TokenExpiry = c.session.Username, c.session.Expires
	}
	return i
}
