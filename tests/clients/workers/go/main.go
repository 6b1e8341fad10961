// Requests one URL with Go's net/http, as docker, containerd and kubelet do.
package main

import (
	"net/http"
	"os"
	"time"
)

func main() {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(os.Args[1])
	if err == nil {
		response.Body.Close()
	}
}
