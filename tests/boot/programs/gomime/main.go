// Reader of user data with the packages of Go that nodeadm and Karpenter use: net/mail, mime and
// mime/multipart.
//
// Each line of stdin is user data in base64.  The answer is a line of JSON: "not multipart", "no
// boundary" or "error", or the parts with their Content-Type and content.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"strings"
)

type part struct {
	Type    string
	Content []byte
}

func read(data []byte) (string, []part) {
	message, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return "not multipart", nil
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return "not multipart", nil
	}
	reader := multipart.NewReader(message.Body, parameters["boundary"])
	parts := []part{}
	for {
		next, err := reader.NextPart()
		if err == io.EOF {
			return "", parts
		}
		if errors.Is(err, io.EOF) && len(parts) == 0 {
			return "no boundary", nil
		}
		if err != nil {
			return "error", nil
		}
		content, err := io.ReadAll(next)
		if err != nil {
			return "error", nil
		}
		parts = append(parts, part{next.Header.Get("Content-Type"), content})
	}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		data, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			panic(err)
		}
		failure, parts := read(data)
		if err := out.Encode(map[string]any{"failure": failure, "parts": parts}); err != nil {
			panic(err)
		}
	}
}
