sed -i 's/0.1/0.2/' params.yaml
