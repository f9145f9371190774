package issuer

import (
	"html/template"
	"net/http"
	"net/url"
)

// layout is the frame of every page. Pages are for a person at a browser, or a
// script that posts the same form.
const layout = `{{define "head"}}<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>entraredis emulator</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:30rem;margin:4rem auto;padding:0 1rem}
button,input{font:inherit;padding:.4rem .8rem}.user{display:block;width:100%;margin:.4rem 0;text-align:left}</style>
</head><body><h1>Emulated sign-in</h1>{{end}}
{{define "users"}}{{range .Users}}<button class="user" name="upn" value="{{.UPN}}"{{if eq .UPN $.Hint}} autofocus{{end}}>{{.UPN}}</button>
{{else}}<p>The emulator has no users.</p>{{end}}{{end}}`

var pages = template.Must(template.New("").Parse(layout + `
{{define "authorize"}}{{template "head"}}<p>Choose who signs in.</p>
<form method="post">{{range $name, $values := .Hidden}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}{{template "users" .}}</form></body></html>{{end}}
{{define "device"}}{{template "head"}}{{with .Message}}<p role="status">{{.}}</p>{{end}}
<form method="post" action="/devicelogin"><p><label>Code shown by the device <input name="code" value="{{.Code}}" required autocomplete="off" autofocus></label></p>
<p>Choose who signs in.</p>{{template "users" .}}</form></body></html>{{end}}
{{define "postback"}}{{template "head"}}<form method="post" action="{{.Redirect}}">{{range $name, $values := .Hidden}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<button>Continue</button></form><script>document.forms[0].submit()</script></body></html>{{end}}`))

type page struct {
	Users               []Principal
	Hidden              url.Values
	Hint, Code, Message string
	Redirect            string
}

func show(w http.ResponseWriter, status int, name string, p page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error here is the browser having left.
	_ = pages.ExecuteTemplate(w, name, p)
}

func (s *Issuer) users() []Principal {
	var users []Principal
	for _, p := range s.config.Principals {
		if p.Kind == KindUser {
			users = append(users, p)
		}
	}
	return users
}

func (s *Issuer) signInPage(w http.ResponseWriter, request url.Values) {
	show(w, http.StatusOK, "authorize", page{Users: s.users(), Hidden: request, Hint: request.Get("login_hint")})
}

func postBackPage(w http.ResponseWriter, redirect string, answer url.Values) {
	show(w, http.StatusOK, "postback", page{Redirect: redirect, Hidden: answer})
}

func (s *Issuer) devicePage(w http.ResponseWriter, r *http.Request) {
	show(w, http.StatusOK, "device", page{Users: s.users(), Code: r.URL.Query().Get("code")})
}

func (s *Issuer) deviceChosen(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	p := page{Users: s.users(), Code: r.PostFormValue("code")}
	user := s.user(r.PostFormValue("upn"))
	if user == nil {
		p.Message = "There is no such user."
		show(w, http.StatusBadRequest, "device", p)
		return
	}
	if err := s.ApproveDevice(p.Code, user.Name); err != nil {
		p.Message = "That code is not valid: " + err.Error()
		show(w, http.StatusBadRequest, "device", p)
		return
	}
	p.Message, p.Code = "You have signed in as "+user.UPN+". You may close this page.", ""
	show(w, http.StatusOK, "device", p)
}
